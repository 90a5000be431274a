# Filled by its folder.
