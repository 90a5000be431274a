/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image-unpack: one job, then exit. bottled starts it as
 *	image-unpack load | import
 * stdin: the hostile bytes; fd 3: a seqpacket socket for its results; fd 4: a
 * fresh directory that bottled made for the job. It leaves there
 *	blobs/HEX          each config and layer as it came, named by its SHA-256
 *	layers/HEX.sqfs    each layer's block image, named by its diff id
 * and bottled moves them into the store when the last message is UNPACK_DONE.
 * bottled may put there, before:
 *	known              diff ids (a line each) whose block images it has: those are verified but not made again
 *	config.json        import: the image's configuration without its rootfs
 *
 * Messages (base/ipc.h): UNPACK_IMAGE for each image, then DONE; or FAILED and nothing more.
 */
#ifndef IMAGES_UNPACK_H
#define IMAGES_UNPACK_H

#include "proto/guest.h"

#define UNPACK_RESULT_FD 3
#define UNPACK_DIR_FD    4

enum unpack_type {
	UNPACK_IMAGE = 1, /* UNPACK_TAG_ID, _REF…, then a group for each layer, bottom first */
	UNPACK_DONE,      /* empty */
	UNPACK_FAILED,    /* UNPACK_TAG_CLASS, _TEXT */
};

enum unpack_tag {
	UNPACK_TAG_ID = 1,    /* str, 64 hex digits: SHA-256 of the configuration, also its blob */
	UNPACK_TAG_REF,       /* str: as the archive has it; repeated */
	UNPACK_TAG_DIFF_ID,   /* str, 64 hex digits: begins a layer */
	UNPACK_TAG_BLOB,      /* str, 64 hex digits: SHA-256 of the layer as it came */
	UNPACK_TAG_BLOB_SIZE, /* u64 */
	UNPACK_TAG_SIZE,      /* u64: bytes of its files */
	UNPACK_TAG_KNOWN,     /* u32 1: no block image was made */
	UNPACK_TAG_CLASS,     /* u32: enum err_class */
	UNPACK_TAG_TEXT,      /* str */
};

/* Part of a block image's name in the store: raise it when the same tar would give another image. */
#define UNPACK_CONVERTER "1"

/* What an archive may ask for. Beyond: refused. */
#define UNPACK_STREAM_MAX  (64ULL << 30) /* bytes of an archive, decompressed */
#define UNPACK_MEMBERS_MAX 4096          /* files of an archive */
#define UNPACK_IMAGES_MAX  64            /* images of an archive */
#define UNPACK_REFS_MAX    64            /* references of one image */
#define UNPACK_REF_MAX     512
#define UNPACK_LAYERS_MAX  GUEST_LAYERS_MAX
#define UNPACK_LAYER_MAX   (64ULL << 30)  /* bytes of a layer's tar */
#define UNPACK_FILES_MAX   (256ULL << 30) /* bytes of a layer's files with their holes */
#define UNPACK_FILE_MAX    (64ULL << 30)
#define UNPACK_ENTRIES_MAX 1000000 /* entries of a layer, directories that it only implies included */
#define UNPACK_PATH_MAX    4096
#define UNPACK_NAME_MAX    255
#define UNPACK_DEPTH_MAX   256         /* directories above an entry */
#define UNPACK_XATTRS_MAX  (64 * 1024) /* bytes of an entry's extended attributes */
#define UNPACK_JSON_MAX    (4 << 20)
#define UNPACK_JSON_DEPTH  64
#define UNPACK_INDEX_DEPTH 4 /* OCI indexes inside one another */
/* A compressed stream may grow by this factor once it is larger than the floor. */
#define UNPACK_RATIO_MAX   200
#define UNPACK_RATIO_FLOOR (256ULL << 20)

#endif
