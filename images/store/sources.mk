# The image store, a part of bottled.
STORE_SRCS := $(addprefix images/store/, reference.c store.c)
STORE_LIBS := sqlite3 jansson
