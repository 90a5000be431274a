/* SPDX-License-Identifier: Apache-2.0 */
/* tlv and ipc: what is written reads back; what is malformed is refused; descriptors never leak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/ipc.h"
#include "base/str.h"

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_tlv_round_trip(void **state)
{
	unsigned char space[256];
	struct tlv_iter it;
	struct tlv_field f;
	uint32_t v32 = 0;
	uint64_t v64 = 0;
	struct tlv t;
	char *s;

	(void)state;
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, 1, 0xdeadbeef);
	tlv_u64(&t, 2, 1ULL << 60);
	tlv_str(&t, 3, "text");
	tlv_str(&t, 4, NULL);
	tlv_bytes(&t, 5, NULL, 0);
	assert_true(tlv_len(&t) > 0);
	tlv_iter_init(&it, space, (size_t)tlv_len(&t));
	assert_int_equal(tlv_next(&it, &f), 1);
	assert_true(tlv_get_u32(&f, &v32) && v32 == 0xdeadbeef);
	assert_false(tlv_get_u64(&f, &v64));
	assert_int_equal(tlv_next(&it, &f), 1);
	assert_true(tlv_get_u64(&f, &v64) && v64 == 1ULL << 60);
	assert_int_equal(tlv_next(&it, &f), 1);
	s = tlv_get_str(&f, 4);
	assert_string_equal(s, "text");
	free(s);
	assert_null(tlv_get_str(&f, 3));
	assert_int_equal(tlv_next(&it, &f), 1);
	assert_int_equal(f.tag, 5);
	assert_int_equal(tlv_next(&it, &f), 0);
}

static void test_tlv_malformed(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{ "\1\0\0\0\0\0\0", 7 },            /* head cut */
		{ "\1\0\0\0\1\0\0\0", 8 },          /* body missing */
		{ "\1\0\0\0\xff\xff\xff\xffx", 9 }, /* longer than there is */
		{ "\1\0\1\0\0\0\0\0", 8 },          /* not zero */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tlv_iter it;
		struct tlv_field f;

		tlv_iter_init(&it, bad[i].bytes, bad[i].n);
		assert_int_equal(tlv_next(&it, &f), -EBADMSG);
	}
}

static void test_tlv_full(void **state)
{
	unsigned char space[16];
	struct tlv t;

	(void)state;
	tlv_init(&t, space, sizeof(space));
	tlv_u32(&t, 1, 1);
	assert_int_equal(tlv_len(&t), 12);
	tlv_u32(&t, 1, 1);
	assert_int_equal(tlv_len(&t), -EMSGSIZE);
	tlv_bytes(&t, 2, NULL, 0);
	assert_int_equal(tlv_len(&t), -EMSGSIZE);
}

static void test_ipc(void **state)
{
	int pair[2], before = open_fds(), fd;
	static struct ipc_msg m;
	unsigned char space[64];
	struct tlv t;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	tlv_init(&t, space, sizeof(space));
	tlv_str(&t, 9, "body");
	assert_int_equal(ipc_recv(pair[1], &m), -EAGAIN);
	assert_int_equal(ipc_send(pair[0], 7, 42, &t, (int[]){ 0, 1 }, 2), 0);
	assert_int_equal(ipc_recv(pair[1], &m), 1);
	assert_int_equal(m.head.type, 7);
	assert_int_equal(m.head.seq, 42);
	assert_int_equal(m.len, 12);
	assert_int_equal(m.n_fds, 2);
	fd = ipc_take_fd(&m, 1);
	assert_true(fd >= 0);
	assert_int_equal(ipc_take_fd(&m, 1), -1);
	assert_int_equal(ipc_take_fd(&m, 2), -1);
	close(fd);
	ipc_close_fds(&m);
	assert_int_equal(send(pair[0], "abc", 3, 0), 3);
	assert_int_equal(ipc_recv(pair[1], &m), -EBADMSG);
	close(pair[0]);
	assert_int_equal(ipc_recv(pair[1], &m), 0);
	close(pair[1]);
	assert_int_equal(open_fds(), before);
}

static void test_unix_long_path(void **state)
{
	char dir[] = "/tmp/bottle-ipc.XXXXXX", path[300];
	uid_t uid = (uid_t)-1;
	int listener, client, conn;
	size_t n;

	(void)state;
	assert_non_null(mkdtemp(dir));
	n = (size_t)snprintf(path, sizeof(path), "%s/", dir);
	memset(path + n, 'd', 120);
	path[n + 120] = '\0';
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path + n + 120, sizeof(path) - n - 120, "/socket");
	listener = unix_listen(path, SOCK_SEQPACKET, 0600);
	assert_true(listener >= 0);
	assert_int_equal(unix_listen(path, SOCK_SEQPACKET, 0600), -EADDRINUSE);
	client = unix_connect(path, SOCK_SEQPACKET);
	assert_true(client >= 0);
	conn = accept(listener, NULL, NULL);
	assert_int_equal(ipc_peer(conn, NULL, &uid), 0);
	assert_int_equal(uid, getuid());
	close(conn);
	close(client);
	close(listener);
	assert_int_equal(unix_connect(path, SOCK_SEQPACKET), -ECONNREFUSED);
	unlink(path);
	path[n + 120] = '\0';
	rmdir(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tlv_round_trip), cmocka_unit_test(test_tlv_malformed),
		cmocka_unit_test(test_tlv_full),       cmocka_unit_test(test_ipc),
		cmocka_unit_test(test_unix_long_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
