/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and answers as the leak probe judges them: no byte string may crash it, and a foreign MAC is never fine. */
#include <stdlib.h>
#include <string.h>

#include "sidecar/probe/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct segment s = { .mac = { 2, 0, 0, 0, 0, 2 },
				   .gateway_mac = { 2, 0, 0, 0, 0, 1 },
				   .self = 0x0209580a,
				   .gateway = 0x0109580a,
				   .gateway_known = true };
	struct finding f;
	uint8_t mac[6];
	bool leak = frame_judge(&s, data, n, &f);

	if (n >= 14 && memcmp(data + 6, s.mac, 6) != 0 && memcmp(data + 6, s.gateway_mac, 6) != 0 && !leak) {
		if (data[12] != 8 || data[13] != 6) /* ARP is judged by what it claims */
			abort();
	}
	frame_is_gateway(&s, data, n, mac);
	for (int kind = 0; kind < TALK_NUM; kind++)
		if (n && talk_judge((enum talk_kind)kind, data, n > TALK_IN ? TALK_IN : n) == TALK_SILENT)
			abort();
	return 0;
}
