UNIT += tests/unit/base/str_test
