# Parsers of hostile bytes: pure, no allocation beyond their result, each with a fuzz target.
WIRE_SRCS := $(addprefix bottle/wire/, http.c url.c)
