UNIT += $(addprefix tests/unit/base/, str_test message_test loop_test file_test)
FUZZ += tests/fuzz/fuzz_tlv
