# Parsers of hostile bytes: pure, no allocation beyond their result, each with a fuzz target.
WIRE_SRCS := $(addprefix bottle/wire/, http.c url.c)

UNIT += tests/unit/wire/http_test tests/unit/wire/url_test
tests/unit/wire/http_test_SRCS := $(WIRE_SRCS)
tests/unit/wire/url_test_SRCS := $(WIRE_SRCS)

FUZZ += tests/fuzz/fuzz_http tests/fuzz/fuzz_chunked tests/fuzz/fuzz_query
tests/fuzz/fuzz_http_SRCS := $(WIRE_SRCS)
tests/fuzz/fuzz_chunked_SRCS := $(WIRE_SRCS)
tests/fuzz/fuzz_query_SRCS := $(WIRE_SRCS)
