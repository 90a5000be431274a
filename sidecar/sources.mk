# The sidecar: three static programs that lie side by side in its image.
SIDECAR_SRCS := sidecar/audit.c sidecar/child.c $(DECIDE_SRCS)

STATIC_PROGRAMS += sidecar-dns
sidecar-dns_SRCS := $(addprefix sidecar/dns/, main.c jail.c serve.c resolve.c cache.c codec.c) $(SIDECAR_SRCS)
sidecar-dns_LIBS := jansson libcrypto
