# The sidecar: four static programs that lie side by side in its image.
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

STATIC_PROGRAMS += sidecar-probe
sidecar-probe_SRCS := $(addprefix sidecar/probe/, main.c jail.c frame.c spec.c talk.c)
sidecar-probe_LIBS := jansson

UNIT += tests/unit/sidecar/probe_test
tests/unit/sidecar/probe_test_SRCS := $(addprefix sidecar/probe/, frame.c spec.c talk.c) sidecar/egress/hello.c $(DECIDE_SRCS)
tests/unit/sidecar/probe_test_LIBS := jansson libcrypto

FUZZ += tests/fuzz/fuzz_probe_frame
tests/fuzz/fuzz_probe_frame_SRCS := $(addprefix sidecar/probe/, frame.c talk.c)

UNIT += $(addprefix tests/unit/, policies/decide_test sidecar/hello_test sidecar/codec_test sidecar/head_test sidecar/jail_test)
tests/unit/policies/decide_test_SRCS := $(DECIDE_SRCS)
tests/unit/policies/decide_test_LIBS := jansson libcrypto
tests/unit/sidecar/hello_test_SRCS := sidecar/egress/hello.c $(DECIDE_SRCS)
tests/unit/sidecar/hello_test_LIBS := jansson libcrypto
tests/unit/sidecar/codec_test_SRCS := sidecar/dns/codec.c sidecar/dns/cache.c
tests/unit/sidecar/head_test_SRCS := sidecar/egress/head.c bottle/wire/http.c $(DECIDE_SRCS)
tests/unit/sidecar/head_test_LIBS := jansson libcrypto
tests/unit/sidecar/jail_test_SRCS := $(addprefix sidecar/, dns/jail.c egress/jail.c main/jail.c probe/jail.c)
tests/unit/sidecar/jail_test_LIBS := jansson

FUZZ += $(addprefix tests/fuzz/, fuzz_clienthello fuzz_dns fuzz_compiled_policy fuzz_egress_head)
tests/fuzz/fuzz_clienthello_SRCS := sidecar/egress/hello.c $(DECIDE_SRCS)
tests/fuzz/fuzz_clienthello_LIBS := jansson libcrypto
tests/fuzz/fuzz_dns_SRCS := sidecar/dns/codec.c
tests/fuzz/fuzz_compiled_policy_SRCS := $(DECIDE_SRCS)
tests/fuzz/fuzz_compiled_policy_LIBS := jansson libcrypto
tests/fuzz/fuzz_egress_head_SRCS := sidecar/egress/head.c bottle/wire/http.c $(DECIDE_SRCS)
tests/fuzz/fuzz_egress_head_LIBS := jansson libcrypto
