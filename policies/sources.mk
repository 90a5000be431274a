# DECIDE_SRCS: the decision path, also the sidecar's (libraries: jansson libcrypto). POLICY_SRCS: the language, with yaml-0.1.
DECIDE_SRCS := policies/decide.c
POLICY_SRCS := $(addprefix policies/, compile.c parse.c read.c tree.c) $(DECIDE_SRCS)
POLICY_LIBS := jansson libcrypto yaml-0.1

UNIT += tests/unit/policies/policy_test
tests/unit/policies/policy_test_SRCS := $(POLICY_SRCS)
tests/unit/policies/policy_test_LIBS := $(POLICY_LIBS)

FUZZ += tests/fuzz/fuzz_policy
tests/fuzz/fuzz_policy_SRCS := $(POLICY_SRCS)
tests/fuzz/fuzz_policy_LIBS := $(POLICY_LIBS)
