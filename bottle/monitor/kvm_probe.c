/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can KVM run a stock guest? In bottle-monitor, in a child process of its own.
 * /dev/kvm may open and still emulate so little (nested without hardware help)
 * that a kernel does not boot, so a tiny guest is run: cmpxchg16b, SSE, a loop
 * of LOOPS rounds, then an `out`. It must get there within LIMIT_MS.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/str.h"
#include "monitor/probe.h"

#define LIMIT_MS     50
#define CHILD_MS     1000
#define GUEST_MEMORY (4 << 20)
#define CPUID_MAX    128
#define OUT_PORT     0x10

/* Layout of the guest's memory: page tables, then code; 16-byte aligned data behind it. */
enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, CODE = 0x4000, DATA = 0x5000, STACK = 0x8000 };

/* Flat 64-bit code. rbx = DATA. */
static const unsigned char code[] = {
	0xf0, 0x48,     0x0f, 0xc7, 0x0b, /* lock cmpxchg16b [rbx] */
	0x66, 0x0f,     0x6f, 0x03,       /* movdqa xmm0, [rbx] */
	0x66, 0x0f,     0xd4, 0xc0,       /* paddq xmm0, xmm0 */
	0xb9, 0xa0,     0x86, 0x01, 0x00, /* mov ecx, 100000 */
	0xff, 0xc9,                       /* dec ecx */
	0x75, 0xfc,                       /* jnz -4 */
	0xe6, OUT_PORT,                   /* out OUT_PORT, al */
	0xf4,                             /* hlt */
};

struct guest {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	unsigned char *memory;
};

static const char *make_guest(struct guest *g)
{
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_MEMORY };
	int size;

	g->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (g->kvm < 0)
		return errno == ENOENT ? "there is no /dev/kvm" : "no access to /dev/kvm";
	g->vm = ioctl(g->kvm, KVM_CREATE_VM, 0);
	g->memory = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->vm < 0 || g->memory == MAP_FAILED)
		return "KVM makes no virtual machine";
	region.userspace_addr = (uintptr_t)g->memory;
	g->vcpu = ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -1 : ioctl(g->vm, KVM_CREATE_VCPU, 0);
	size = ioctl(g->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (g->vcpu < 0 || size < (int)sizeof(*g->run))
		return "KVM makes no virtual CPU";
	g->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	return g->run == MAP_FAILED ? "KVM makes no virtual CPU" : NULL;
}

static void put_u64(struct guest *g, size_t at, uint64_t v)
{
	memcpy(g->memory + at, &v, sizeof(v));
}

static const char *set_cpuid(struct guest *g)
{
	union {
		struct kvm_cpuid2 head;
		char space[sizeof(struct kvm_cpuid2) + CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
	} cpuid = { .head = { .nent = CPUID_MAX } };

	if (ioctl(g->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 || ioctl(g->vcpu, KVM_SET_CPUID2, &cpuid) < 0)
		return "KVM tells no CPUID";
	return NULL;
}

/* Long mode, identity-mapped by two 2 MiB pages, CPL 0, SSE on. */
static const char *set_up(struct guest *g)
{
	struct kvm_segment cs = {
		.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
	struct kvm_segment ds = {
		.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
	};
	struct kvm_regs regs = { .rip = CODE, .rbx = DATA, .rsp = STACK, .rflags = 2 };
	struct kvm_sregs sregs;

	put_u64(g, PML4, PDPT | 3);
	put_u64(g, PDPT, PD | 3);
	put_u64(g, PD, 0x83);
	put_u64(g, PD + 8, 0x200083);
	memcpy(g->memory + CODE, code, sizeof(code));
	if (ioctl(g->vcpu, KVM_GET_SREGS, &sregs) < 0)
		return "KVM tells no registers";
	sregs.cs = cs;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = ds;
	sregs.cr3 = PML4;
	sregs.cr4 = 0x20 | 0x600; /* PAE, OSFXSR, OSXMMEXCPT */
	sregs.cr0 = 0x80000033;   /* PG, NE, ET, MP, PE */
	sregs.efer = 0x500;       /* LME, LMA */
	if (ioctl(g->vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(g->vcpu, KVM_SET_REGS, &regs) < 0)
		return "KVM takes no registers";
	return NULL;
}

static const char *run_guest(struct guest *g)
{
	uint64_t start = now_mono_us();

	if (ioctl(g->vcpu, KVM_RUN, 0) < 0)
		return "KVM does not run the probe";
	if (g->run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		return "KVM here cannot run a stock guest (it fails on an ordinary instruction)";
	if (g->run->exit_reason != KVM_EXIT_IO || g->run->io.port != OUT_PORT)
		return "KVM here cannot run a stock guest (the probe ended early)";
	if (now_mono_us() - start > LIMIT_MS * 1000)
		return "KVM here is slower than emulation";
	return NULL;
}

static void __attribute__((noreturn)) child(int report_fd)
{
	struct guest g = { -1, -1, -1, NULL, NULL };
	const char *why = make_guest(&g);

	if (!why)
		why = set_cpuid(&g);
	if (!why)
		why = set_up(&g);
	if (!why)
		why = run_guest(&g);
	if (!why)
		why = "ok";
	_exit(fd_write_all(report_fd, why, strlen(why)) < 0);
}

void probe_kvm(struct probe *ret)
{
	uint64_t start = now_mono_us();
	struct pollfd p;
	int pipes[2];
	ssize_t n = 0;
	pid_t pid;

	ret->kvm = false;
	snprintf(ret->reason, sizeof(ret->reason), "the KVM probe could not be run");
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0)
		child(pipes[1]);
	close(pipes[1]);
	p = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	if (pid > 0 && poll(&p, 1, CHILD_MS) == 1)
		n = read(pipes[0], ret->reason, sizeof(ret->reason) - 1);
	else if (pid > 0)
		n = snprintf(ret->reason, sizeof(ret->reason), "the KVM probe hung");
	if (n > 0)
		ret->reason[n] = '\0';
	close(pipes[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	ret->ms = (double)(now_mono_us() - start) / 1000;
	ret->kvm = str_eq(ret->reason, "ok");
	if (ret->kvm)
		ret->reason[0] = '\0';
}
