/* failing.c: loaded into smbgate by a test: the nth call of a kind fails, as it may anywhere */
/*
 * gcc -shared -fPIC; LD_PRELOAD. FAILING names a file of one page, which the test maps too: see
 * failing.py. What the kernel would never do is not done: with edge-triggered events, nobody says
 * "later" of a socket that is ready, so EAGAIN is for listening sockets alone; small buffers make
 * counts short.
 */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The order is that of failing.py. */
enum call {
	ACCEPT, SOCKET, CONNECT, BIND, SETSOCKOPT, GETSOCKOPT, GETSOCKNAME, RECV, SEND, SENDMSG,
	SPLICE, PIPE, EPOLL_CTL, EPOLL_WAIT, SHUTDOWN, READ, WRITE, ALLOC, NCALLS
};

struct page {
	atomic_uint call;	/* which one, or NCALLS */
	atomic_int nth;		/* it is the nth from now */
	atomic_int err;		/* what errno is then */
	atomic_uint fired;
	atomic_uint main;	/* those of the first thread too, but not what libraries allocate */
	atomic_uint small;	/* SO_SNDBUF and SO_RCVBUF of new sockets, or 0 */
	atomic_int since;	/* so many seconds more have gone by since the machine started, */
	atomic_int date;	/* and so many is its date ahead */
	atomic_int spared[2];	/* descriptors of which no call fails */
	atomic_int late;	/* ms by which every timer is late */
	atomic_uint seen[NCALLS];
};

void *__interceptor_malloc(size_t) __attribute__((weak));
void *__interceptor_calloc(size_t, size_t) __attribute__((weak));
void *__interceptor_realloc(void *, size_t) __attribute__((weak));
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static struct page *page;
static pthread_t first;
/* The program's own text. */
static uintptr_t text, text_end;
/* What the replaced functions were. */
static struct {
	int (*accept4)(int, struct sockaddr *, socklen_t *, int);
	int (*socket)(int, int, int);
	int (*connect)(int, const struct sockaddr *, socklen_t);
	int (*bind)(int, const struct sockaddr *, socklen_t);
	int (*setsockopt)(int, int, int, const void *, socklen_t);
	int (*getsockopt)(int, int, int, void *, socklen_t *);
	int (*getsockname)(int, struct sockaddr *, socklen_t *);
	ssize_t (*recv)(int, void *, size_t, int);
	ssize_t (*send)(int, const void *, size_t, int);
	ssize_t (*sendmsg)(int, const struct msghdr *, int);
	ssize_t (*splice)(int, off64_t *, int, off64_t *, size_t, unsigned);
	int (*pipe2)(int[2], int);
	int (*epoll_ctl)(int, int, int, struct epoll_event *);
	int (*epoll_wait)(int, struct epoll_event *, int, int);
	int (*shutdown)(int, int);
	ssize_t (*read)(int, void *, size_t);
	ssize_t (*write)(int, const void *, size_t);
	int (*clock_gettime)(clockid_t, struct timespec *);
} real;

static int
find_text(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
			text = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
			text_end = text + info->dlpi_phdr[i].p_memsz;
		}
	}
	return 1;	/* the program itself comes first */
}

#define FIND(name) (*(void **)&real.name = dlsym(RTLD_NEXT, #name))

static __attribute__((constructor)) void
begin(void)
{
	const char *name = getenv("FAILING");
	int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	FIND(accept4), FIND(socket), FIND(connect), FIND(bind), FIND(setsockopt), FIND(getsockopt);
	FIND(getsockname), FIND(recv), FIND(send), FIND(sendmsg), FIND(splice), FIND(pipe2);
	FIND(epoll_ctl), FIND(epoll_wait), FIND(shutdown), FIND(read), FIND(write);
	FIND(clock_gettime);
	first = pthread_self();
	dl_iterate_phdr(find_text, NULL);
	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		page = p;
}

/* Whether this call is the one; errno is set then. */
static bool
fails(enum call call, int fd)
{
	if (!page || (!page->main && pthread_equal(pthread_self(), first)) ||
	    (fd > 0 && (fd == page->spared[0] || fd == page->spared[1])))
		return false;
	atomic_fetch_add(&page->seen[call], 1);
	if (page->call != call || atomic_fetch_sub(&page->nth, 1) != 1)
		return false;
	atomic_fetch_add(&page->fired, 1);
	errno = page->err;
	return true;
}

static int
small(int fd)
{
	int n = page ? (int)page->small : 0;

	if (fd >= 0 && n) {
		real.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
		real.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
	}
	return fd;
}

int
accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	return fails(ACCEPT, fd) ? -1 : small(real.accept4(fd, sa, len, flags));
}

int
socket(int domain, int type, int protocol)
{
	if (fails(SOCKET, -1))
		return -1;
	return domain == AF_INET ? small(real.socket(domain, type, protocol)) :
	    real.socket(domain, type, protocol);
}

int
connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	return fails(CONNECT, fd) ? -1 : real.connect(fd, sa, len);
}

int
bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	return fails(BIND, fd) ? -1 : real.bind(fd, sa, len);
}

int
setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	return fails(SETSOCKOPT, fd) ? -1 : real.setsockopt(fd, level, name, val, len);
}

int
getsockopt(int fd, int level, int name, void *restrict val, socklen_t *restrict len)
{
	return fails(GETSOCKOPT, fd) ? -1 : real.getsockopt(fd, level, name, val, len);
}

int
getsockname(int fd, struct sockaddr *sa, socklen_t *restrict len)
{
	return fails(GETSOCKNAME, fd) ? -1 : real.getsockname(fd, sa, len);
}

ssize_t
recv(int fd, void *buf, size_t n, int flags)
{
	return fails(RECV, fd) ? -1 : real.recv(fd, buf, n, flags);
}

ssize_t
__recv_chk(int fd, void *buf, size_t n, size_t room, int flags)
{
	(void)room;
	return fails(RECV, fd) ? -1 : real.recv(fd, buf, n, flags);
}

ssize_t
send(int fd, const void *buf, size_t n, int flags)
{
	return fails(SEND, fd) ? -1 : real.send(fd, buf, n, flags);
}

ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	return fails(SENDMSG, fd) ? -1 : real.sendmsg(fd, m, flags);
}

ssize_t
splice(int in, off64_t *inoff, int out, off64_t *outoff, size_t n, unsigned flags)
{
	return fails(SPLICE, in) ? -1 : real.splice(in, inoff, out, outoff, n, flags);
}

int
pipe2(int fd[2], int flags)
{
	return fails(PIPE, -1) ? -1 : real.pipe2(fd, flags);
}

int
epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	/* what is taken out is taken out */
	return op != EPOLL_CTL_DEL && fails(EPOLL_CTL, fd) ? -1 : real.epoll_ctl(ep, op, fd, ev);
}

int
epoll_wait(int ep, struct epoll_event *ev, int n, int ms)
{
	if (page && ms > 0)
		ms += page->late;
	return fails(EPOLL_WAIT, -1) ? -1 : real.epoll_wait(ep, ev, n, ms);
}

int
shutdown(int fd, int how)
{
	return fails(SHUTDOWN, fd) ? -1 : real.shutdown(fd, how);
}

ssize_t
read(int fd, void *buf, size_t n)
{
	return fails(READ, fd) ? -1 : real.read(fd, buf, n);
}

ssize_t
__read_chk(int fd, void *buf, size_t n, size_t room)
{
	(void)room;
	return fails(READ, fd) ? -1 : real.read(fd, buf, n);
}

ssize_t
write(int fd, const void *buf, size_t n)
{
	return fails(WRITE, fd) ? -1 : real.write(fd, buf, n);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = real.clock_gettime ? real.clock_gettime(id, ts) :
	    (int)syscall(SYS_clock_gettime, id, ts);

	if (page && r == 0)
		ts->tv_sec += id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE ?
		    page->date : page->since;
	return r;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &ts))
		return -1;
	*tv = (struct timeval){ ts.tv_sec, ts.tv_nsec / 1000 };
	return 0;
}

time_t
time(time_t *t)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_REALTIME, &ts);
	if (t)
		*t = ts.tv_sec;
	return ts.tv_sec;
}

/*
 * libevent's buffers do not survive a failed allocation of their own, so in the first thread, which
 * serves operators with them, only the program's own fail.
 */
static bool
alloc_fails(void *from)
{
	uintptr_t at = (uintptr_t)from;

	return page && (!page->main || (at >= text && at < text_end)) && fails(ALLOC, -1);
}

/* Loaded before the sanitizer, these come before its own, and hand on to them. */
void *
malloc(size_t n)
{
	if (alloc_fails(__builtin_return_address(0)))
		return NULL;
	return __interceptor_malloc ? __interceptor_malloc(n) : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	if (alloc_fails(__builtin_return_address(0)))
		return NULL;
	return __interceptor_calloc ? __interceptor_calloc(n, size) : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	if (n && alloc_fails(__builtin_return_address(0)))
		return NULL;
	return __interceptor_realloc ? __interceptor_realloc(p, n) : __libc_realloc(p, n);
}
/* NOLINTEND(bugprone-reserved-identifier) */
