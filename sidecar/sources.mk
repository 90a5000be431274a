# The sidecar: three static programs that lie side by side in its image.
SIDECAR_SRCS := sidecar/audit.c sidecar/child.c $(DECIDE_SRCS)

STATIC_PROGRAMS += sidecar-dns
sidecar-dns_SRCS := $(addprefix sidecar/dns/, main.c jail.c serve.c resolve.c cache.c codec.c) $(SIDECAR_SRCS)
sidecar-dns_LIBS := jansson libcrypto

STATIC_PROGRAMS += sidecar-egress
sidecar-egress_SRCS := $(addprefix sidecar/egress/, main.c jail.c conn.c gate.c hello.c head.c http.c names.c status.c) \
	bottle/wire/http.c $(SIDECAR_SRCS)
sidecar-egress_LIBS := jansson libcrypto

STATIC_PROGRAMS += sidecar
sidecar_SRCS := $(addprefix sidecar/main/, main.c jail.c route.c listen.c children.c control.c client.c) sidecar/child.c \
	$(DECIDE_SRCS)
sidecar_LIBS := jansson libcrypto
