# bottled: one file a line; each engineer adds lines for files of his own.
PROGRAMS += bottled
bottled_LIBS += jansson sqlite3
bottled_SRCS += $(WIRE_SRCS)
bottled_SRCS += bottle/api/json.c
