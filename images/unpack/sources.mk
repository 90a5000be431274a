# image-unpack: hostile archives, one job a process.
UNPACK_SRCS := $(addprefix images/unpack/, archive.c input.c layer.c manifest.c squash.c tree.c)
UNPACK_LIBS := libarchive libsquashfs1 libcrypto jansson
PROGRAMS += image-unpack
image-unpack_SRCS := $(addprefix images/unpack/, main.c jail.c) $(UNPACK_SRCS)
image-unpack_LIBS := $(UNPACK_LIBS)
