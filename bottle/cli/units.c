/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts that 'bottle socket install' writes; in the bottle command. The
 * services use none of systemd's mount-namespace options: bottled's monitors and
 * netpolicyd's network namespace must be seen outside of the unit, and each
 * process narrows itself.
 */
#include "cli/units.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

const struct unit units[] = {
	{ "bottle.socket", false,
	  "[Unit]\n"
	  "Description=Bottle's Engine socket\n"
	  "\n"
	  "[Socket]\n"
	  "ListenStream=%t/bottle/engine.sock\n"
	  "SocketMode=0600\n"
	  "DirectoryMode=@DIRMODE@\n"
	  "RemoveOnStop=yes\n"
	  "\n"
	  "[Install]\n"
	  "WantedBy=sockets.target\n" },
	{ "bottle.service", false,
	  "[Unit]\n"
	  "Description=Bottle's engine\n"
	  "Requires=bottle.socket\n"
	  "After=bottle.socket\n"
	  "\n"
	  "[Service]\n"
	  "Type=simple\n"
	  "ExecStart=\"@BIN@/bottle\" system service --timeout 5s\n"
	  "# The monitors and their VMs outlive the engine.\n"
	  "KillMode=process\n"
	  "NoNewPrivileges=yes\n"
	  "TasksMax=infinity\n" },
	{ "bottle-netpolicyd.socket", true,
	  "[Unit]\n"
	  "Description=Bottle's network policy socket\n"
	  "\n"
	  "[Socket]\n"
	  "ListenSequentialPacket=/run/bottle/netpolicyd.sock\n"
	  "# Anybody may ask; who asks is known by the socket's credentials.\n"
	  "SocketMode=0666\n"
	  "DirectoryMode=0755\n"
	  "RemoveOnStop=yes\n"
	  "\n"
	  "[Install]\n"
	  "WantedBy=sockets.target\n" },
	{ "bottle-netpolicyd.service", true,
	  "[Unit]\n"
	  "Description=Bottle's network policy\n"
	  "Requires=bottle-netpolicyd.socket\n"
	  "After=bottle-netpolicyd.socket\n"
	  "\n"
	  "[Service]\n"
	  "Type=simple\n"
	  "ExecStart=\"@BIN@/netpolicyd\"\n"
	  "KillMode=process\n"
	  "NoNewPrivileges=yes\n" },
};
const size_t n_units = ARRAY_SIZE(units);

char *unit_render(const struct unit *u, const char *bin_dir, bool system)
{
	struct buf out = { 0 };

	for (const char *p = u->template; *p;) {
		if (str_prefix(p, "@BIN@")) {
			for (const char *c = bin_dir; *c;
			     c++) /* systemd.syntax(7), systemd.unit(5): quotes and specifiers */
				buf_printf(&out, "%s%c",
					   *c == '%'                 ? "%"
					   : *c == '"' || *c == '\\' ? "\\"
					   : *c == '$'               ? "$"
								     : "",
					   *c);
			p += strlen("@BIN@");
		} else if (str_prefix(p, "@DIRMODE@")) {
			buf_puts(&out, system ? "0755" : "0700");
			p += strlen("@DIRMODE@");
		} else {
			buf_append(&out, p++, 1);
		}
	}
	buf_cstr(&out);
	return out.data;
}

char *context_meta(const char *socket_path)
{
	_cleanup_free_ char *host = xasprintf("unix://%s", socket_path);
	json_t *o = json_pack("{s:s, s:{s:s}, s:{s:{s:s, s:b}}}", "Name", CONTEXT_NAME, "Metadata", "Description",
			      "Bottle: containers and agents in microVMs", "Endpoints", "docker", "Host", host,
			      "SkipTLSVerify", 0);
	char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return text;
}

char *context_dir(void)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned int n = 0;

	EVP_Digest(CONTEXT_NAME, strlen(CONTEXT_NAME), digest, &n, EVP_sha256(), NULL);
	hex_encode(hex, digest, n);
	return xasprintf("contexts/meta/%s", hex);
}
