# bottle: the command, a client of the Engine socket.
CLI_PARTS := $(addprefix bottle/cli/, client.c parts.c print.c probe.c session.c target.c units.c)

PROGRAMS += bottle
bottle_SRCS = $(addprefix bottle/cli/, main.c bottles.c check.c down.c env.c exec.c hold.c logs.c ls.c policy.c run.c \
	show.c socket.c system.c up.c why.c) $(CLI_PARTS) $(POLICY_SRCS) $(WIRE_SRCS)
bottle_LIBS = $(POLICY_LIBS)

UNIT += tests/unit/cli/client_test tests/unit/cli/parts_test tests/unit/cli/probe_test
tests/unit/cli/client_test_SRCS = $(addprefix bottle/cli/, client.c session.c) $(WIRE_SRCS)
tests/unit/cli/client_test_LIBS := jansson
tests/unit/cli/parts_test_SRCS = $(addprefix bottle/cli/, parts.c target.c units.c) $(POLICY_SRCS)
tests/unit/cli/parts_test_LIBS = $(POLICY_LIBS)
tests/unit/cli/probe_test_SRCS = $(addprefix bottle/cli/, client.c parts.c probe.c) $(WIRE_SRCS) $(POLICY_SRCS)
tests/unit/cli/probe_test_LIBS = $(POLICY_LIBS)

FUZZ += tests/fuzz/fuzz_http_response
tests/fuzz/fuzz_http_response_SRCS = $(addprefix bottle/cli/, client.c session.c) $(WIRE_SRCS)
tests/fuzz/fuzz_http_response_LIBS := jansson
