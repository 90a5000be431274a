/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine says about itself and this machine; in bottled. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "api/engine.h"
#include "api/json.h"
#include "api/system.h"
#include "base/fd.h"
#include "base/mem.h"

#define ENGINE_VERSION "28.2.2"
#define TREE_DEPTH_MAX 8

static const char *architecture(const struct utsname *u)
{
	return str_eq(u->machine, "x86_64") ? "amd64" : str_eq(u->machine, "aarch64") ? "arm64" : u->machine;
}

void system_ping(struct request *r)
{
	reply_header(r, "Cache-Control", "no-cache, no-store, must-revalidate");
	reply_header(r, "Pragma", "no-cache");
	reply_header(r, "Swarm", "inactive");
	reply_header(r, "Builder-Version", "1");
	reply_text(r, 200, "text/plain; charset=utf-8", str_eq(r->method, "HEAD") ? "" : "OK");
}

void libpod_ping(struct request *r)
{
	reply_header(r, "Libpod-Api-Version", "4.3.1");
	reply_header(r, "Libpod-Buildah-Version", "1.28.0");
	system_ping(r);
}

void system_options(struct request *r)
{
	reply_empty(r, 200);
}

void system_version(struct request *r)
{
	static const char api[] = "1.50", api_min[] = "1.22";
	struct utsname u;
	json_t *details;

	uname(&u);
	details = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "ApiVersion", api, "MinAPIVersion", api_min,
			    "Os", "linux", "Arch", architecture(&u), "KernelVersion", u.release, "GitCommit", "bottle",
			    "GoVersion", "none", "Experimental", "false");
	reply_json(r, 200,
		   json_pack("{s:{s:s}, s:[{s:s, s:s, s:o}], s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Platform",
			     "Name", "Bottle", "Components", "Name", "Engine", "Version", ENGINE_VERSION, "Details",
			     details, "Version", ENGINE_VERSION, "ApiVersion", api, "MinAPIVersion", api_min,
			     "GitCommit", "bottle", "GoVersion", "none", "Os", "linux", "Arch", architecture(&u),
			     "KernelVersion", u.release));
}

/* ---- info ---- */

/* PRETTY_NAME of os-release. */
static char *operating_system(void)
{
	_cleanup_free_ char *text = NULL;
	const char *p, *end;

	if (file_read_at(AT_FDCWD, "/etc/os-release", 65536, &text, NULL) < 0)
		return xstrdup("Linux");
	p = strstr(text, "PRETTY_NAME=\"");
	end = p ? strchr(p + 13, '"') : NULL;
	return end ? xstrndup(p + 13, (size_t)(end - p - 13)) : xstrdup("Linux");
}

/* One id for the life of the state directory. */
static char *engine_id(struct engine *g)
{
	char id[ID_LEN + 1];
	char *text = NULL;
	size_t n;

	if (file_read_at(g->data_fd, "engine-id", 128, &text, &n) == 0 && n == ID_LEN)
		return text;
	free(text);
	random_id(id);
	file_write_at(g->data_fd, "engine-id", 0600, id, ID_LEN);
	return xstrdup(id);
}

static void info_counts(struct engine *g, json_t *j)
{
	int running = 0, paused = 0, stopped = 0;
	int64_t images = 0;

	containers_count(g, &running, &paused, &stopped);
	images_count(g, &images);
	json_object_set_new(j, "Containers", json_integer(running + paused + stopped));
	json_object_set_new(j, "ContainersRunning", json_integer(running));
	json_object_set_new(j, "ContainersPaused", json_integer(paused));
	json_object_set_new(j, "ContainersStopped", json_integer(stopped));
	json_object_set_new(j, "Images", json_integer(images));
}

static void info_machine(struct engine *g, json_t *j)
{
	_cleanup_free_ char *os = operating_system(), *id = engine_id(g);
	char now[RFC3339_MAX];
	struct sysinfo si;
	struct utsname u;

	uname(&u);
	sysinfo(&si);
	rfc3339nano(now, now_real_ns());
	json_object_set_new(j, "ID", json_string(id));
	json_object_set_new(j, "Name", json_string(u.nodename));
	json_object_set_new(j, "SystemTime", json_string(now));
	json_object_set_new(j, "KernelVersion", json_string(u.release));
	json_object_set_new(j, "OperatingSystem", json_string(os));
	json_object_set_new(j, "OSType", json_string("linux"));
	json_object_set_new(j, "OSVersion", json_string(""));
	json_object_set_new(j, "Architecture", json_string(u.machine));
	json_object_set_new(j, "NCPU", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	json_object_set_new(j, "MemTotal", json_integer((json_int_t)si.totalram * si.mem_unit));
	json_object_set_new(j, "DockerRootDir", json_string(g->data_dir));
}

/* What is the same on every machine. */
static json_t *info_fixed(void)
{
	static const char text[] =
		"{\"Driver\":\"bottle\",\"DriverStatus\":[[\"Isolation\",\"one microVM per container\"],"
		"[\"Layers\",\"read-only block images\"]],"
		"\"Plugins\":{\"Volume\":[],\"Network\":[\"bridge\",\"null\"],\"Authorization\":null,"
		"\"Log\":[\"json-file\"]},"
		"\"MemoryLimit\":true,\"SwapLimit\":false,\"CpuCfsPeriod\":true,\"CpuCfsQuota\":true,\"CPUShares\":"
		"false,"
		"\"CPUSet\":false,\"PidsLimit\":true,\"IPv4Forwarding\":true,\"Debug\":false,\"NFd\":0,"
		"\"OomKillDisable\":false,"
		"\"NGoroutines\":1,\"LoggingDriver\":\"json-file\",\"CgroupDriver\":\"none\",\"CgroupVersion\":\"2\","
		"\"NEventsListener\":0,\"IndexServerAddress\":\"https://index.docker.io/v1/\","
		"\"RegistryConfig\":{\"InsecureRegistryCIDRs\":[\"127.0.0.0/8\"],\"IndexConfigs\":{\"docker.io\":"
		"{\"Name\":\"docker.io\",\"Mirrors\":[],\"Secure\":true,\"Official\":true}},\"Mirrors\":[]},"
		"\"GenericResources\":null,\"HttpProxy\":\"\",\"HttpsProxy\":\"\",\"NoProxy\":\"\",\"Labels\":[],"
		"\"ExperimentalBuild\":false,\"ServerVersion\":\"" ENGINE_VERSION "\","
		"\"Runtimes\":{\"bottle\":{\"path\":\"bottle-monitor\"}},\"DefaultRuntime\":\"bottle\","
		"\"Swarm\":{\"NodeID\":\"\",\"NodeAddr\":\"\",\"LocalNodeState\":\"inactive\",\"ControlAvailable\":"
		"false,"
		"\"Error\":\"\",\"RemoteManagers\":null},"
		"\"LiveRestoreEnabled\":true,\"Isolation\":\"\",\"InitBinary\":\"bottle-init\","
		"\"ContainerdCommit\":{\"ID\":\"\"},\"RuncCommit\":{\"ID\":\"\"},\"InitCommit\":{\"ID\":\"\"},"
		"\"SecurityOptions\":[\"name=microvm\"],\"Warnings\":[]}";

	return json_parse(text, sizeof(text) - 1, NULL);
}

void system_info(struct request *r)
{
	json_t *j = info_fixed();

	info_counts(r->engine, j);
	info_machine(r->engine, j);
	if (geteuid() != 0)
		json_array_append_new(json_object_get(j, "SecurityOptions"), json_string("name=rootless"));
	reply_json(r, 200, j);
}

/* ---- df ---- */

/* Bytes that a directory's files occupy. */
static int64_t tree_usage(int dir_fd, const char *path, int depth)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int64_t total = 0;
	struct dirent *d;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return 0;
	while ((d = readdir(dir))) {
		struct stat st;

		if (str_eq(d->d_name, ".") || str_eq(d->d_name, "..") ||
		    fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		total += (int64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode) && depth < TREE_DEPTH_MAX)
			total += tree_usage(dirfd(dir), d->d_name, depth + 1);
	}
	closedir(dir);
	return total;
}

static json_t *df_container(struct engine *g, sqlite3_stmt *st)
{
	const char *id = (const char *)sqlite3_column_text(st, 0), *config = (const char *)sqlite3_column_text(st, 3);
	_cleanup_free_ char *dir = xasprintf("containers/%s", id);
	_cleanup_free_ char *name = xasprintf("/%s", (const char *)sqlite3_column_text(st, 1));
	_cleanup_json_ json_t *c = config ? json_parse(config, strlen(config), NULL) : NULL;

	return json_pack("{s:s, s:[s], s:s, s:s, s:s, s:I, s:I, s:[], s:[], s:{}, s:I}", "Id", id, "Names", name,
			 "Image", json_str_or(c, "Image", ""), "Command", "", "State",
			 (const char *)sqlite3_column_text(st, 2), "SizeRw", (json_int_t)tree_usage(g->data_fd, dir, 0),
			 "SizeRootFs", (json_int_t)0, "Ports", "Mounts", "Labels", "Created",
			 (json_int_t)(sqlite3_column_int64(st, 4) / 1000000000));
}

void system_df(struct request *r)
{
	struct engine *g = r->engine;
	struct err e = { 0 };
	sqlite3_stmt *st = state_query(g, &e, "SELECT id, name, state, config, created_ns FROM containers", "");
	json_t *containers = json_array();
	int64_t layers = tree_usage(g->data_fd, "blobs", 0) + tree_usage(g->data_fd, "layers", 0);

	while (st && sqlite3_step(st) == SQLITE_ROW)
		json_array_append_new(containers, df_container(g, st));
	sqlite3_finalize(st);
	if (!st) {
		json_decref(containers);
		reply_err(r, &e);
		return;
	}
	reply_json(r, 200,
		   json_pack("{s:I, s:[], s:o, s:[], s:[], s:I}", "LayersSize", (json_int_t)layers, "Images",
			     "Containers", containers, "Volumes", "BuildCache", "BuilderSize", (json_int_t)0));
}

/* ---- what is not there ---- */

void not_offered(struct request *r)
{
	reply_message(r, 501, "%s %s is not offered by this engine yet", r->method, r->path);
}

void not_a_swarm(struct request *r)
{
	reply_message(
		r, 503,
		"This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this "
		"node to swarm and try again.");
}

void empty_list(struct request *r)
{
	reply_json(r, 200, json_array());
}

void volumes_list(struct request *r)
{
	reply_json(r, 200, json_pack("{s:[], s:[]}", "Volumes", "Warnings"));
}

void volumes_prune(struct request *r)
{
	reply_json(r, 200, json_pack("{s:[], s:i}", "VolumesDeleted", "SpaceReclaimed", 0));
}

void volume_missing(struct request *r)
{
	reply_message(r, 404, "get %s: no such volume", r->args[0]);
}

void build_prune(struct request *r)
{
	reply_json(r, 200, json_pack("{s:[], s:i}", "CachesDeleted", "SpaceReclaimed", 0));
}
