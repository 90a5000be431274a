/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over its corpus without a fuzzer, in plain `make check`:
 * each input sits at the end of a page that is followed by an unreadable one,
 * so that reading one byte too far crashes even without ASan. TAP on stdout.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define INPUT_MAX (4 << 20)

static void run_guarded(const char *data, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (n + page - 1) / page * page + page;
	char *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;

	if (map == MAP_FAILED || mprotect(map + room - page, page, PROT_NONE) < 0)
		fatal("mmap");
	at = map + room - page - n;
	memcpy(at, data, n);
	LLVMFuzzerTestOneInput((const uint8_t *)at, n);
	munmap(map, room);
}

int main(int argc, char **argv)
{
	struct dirent **names;
	int n = argc == 2 ? scandir(argv[1], &names, NULL, alphasort) : -1, test = 0;

	log_init("replay", 0);
	if (n < 0)
		fatal("usage: %s CORPUS_DIRECTORY", argv[0]);
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", argv[1], names[i]->d_name), *data = NULL;
		size_t len;

		if (names[i]->d_name[0] != '.' && file_read_at(AT_FDCWD, path, INPUT_MAX, &data, &len) == 0) {
			run_guarded(data, len);
			printf("ok %d - %s\n", ++test, names[i]->d_name);
			fflush(stdout);
		}
		free(names[i]);
	}
	free(names);
	printf("1..%d\n", test);
	return test == 0;
}
