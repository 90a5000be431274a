# Knows nothing of bottles; linked into every program.
BASE_SRCS := $(addprefix bottle/base/, buf.c err.c fd.c ipc.c log.c loop.c mem.c opt.c proc.c sandbox.c str.c tlv.c)
