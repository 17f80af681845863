/* splice.c: payload past user space: pipes that are lent while bytes are in flight */
#include "config.h"

#include "proxy/splice.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

/*
 * A pipe holds pieces, not bytes: one of what a network card delivered, 1.4 to 4 KiB, takes as much
 * room as a page. 256 pieces are what an unprivileged process may have (fs.pipe-max-size); where
 * that is refused too (fs.pipe-user-pages-soft), a small pipe only costs more calls.
 */
#define PIPE_BYTES (1024 * 1024)
/* Kept for the next one who needs a pipe; each holds 10 KiB of kernel memory while empty. */
#define IDLE_MAX 8

struct splice_pipe {
	SLIST_ENTRY(splice_pipe) entry;
	int rd, wr;
	size_t len;
};

struct splice_pool {
	SLIST_HEAD(, splice_pipe) idle;
	unsigned nidle, nlent;
};

struct splice_pool *
splice_pool_new(void)
{
	return calloc(1, sizeof(struct splice_pool));
}

static void
pipe_close(struct splice_pipe *pipe)
{
	close(pipe->rd);
	close(pipe->wr);
	free(pipe);
}

void
splice_pool_free(struct splice_pool **pp)
{
	struct splice_pool *p = *pp;
	struct splice_pipe *pipe;

	if (p == NULL)
		return;
	assert(p->nlent == 0);
	while ((pipe = SLIST_FIRST(&p->idle)) != NULL) {
		SLIST_REMOVE_HEAD(&p->idle, entry);
		pipe_close(pipe);
	}
	free(p);
	*pp = NULL;
}

static struct splice_pipe *
pipe_open(void)
{
	struct splice_pipe *pipe = calloc(1, sizeof(*pipe));
	int fds[2];

	if (pipe == NULL || pipe2(fds, O_NONBLOCK | O_CLOEXEC) == -1) {
		free(pipe);
		return NULL;
	}
	pipe->rd = fds[0];
	pipe->wr = fds[1];
	(void)fcntl(pipe->wr, F_SETPIPE_SZ, PIPE_BYTES);
	return pipe;
}

struct splice_pipe *
splice_lend(struct splice_pool *p)
{
	struct splice_pipe *pipe = SLIST_FIRST(&p->idle);

	if (p->nlent == SPLICE_PIPES_MAX)
		return NULL;
	if (pipe != NULL) {
		SLIST_REMOVE_HEAD(&p->idle, entry);
		p->nidle--;
	} else if ((pipe = pipe_open()) == NULL) {
		return NULL;
	}
	p->nlent++;
	return pipe;
}

void
splice_return(struct splice_pool *p, struct splice_pipe **pp)
{
	struct splice_pipe *pipe = *pp;

	if (pipe == NULL)
		return;
	*pp = NULL;
	assert(p->nlent > 0);
	p->nlent--;
	if (pipe->len > 0 || p->nidle == IDLE_MAX) {
		pipe_close(pipe);
		return;
	}
	SLIST_INSERT_HEAD(&p->idle, pipe, entry);
	p->nidle++;
}

ssize_t
splice_fill(struct splice_pipe *pipe, int fd, size_t n)
{
	ssize_t r;

	do
		r = splice(fd, NULL, pipe->wr, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (r == -1 && errno == EINTR);
	if (r > 0)
		pipe->len += (size_t)r;
	return r;
}

int
splice_drain(struct splice_pipe *pipe, int fd, bool more)
{
	unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0);

	while (pipe->len > 0) {
		ssize_t r = splice(pipe->rd, NULL, fd, NULL, pipe->len, flags);

		if (r > 0)
			pipe->len -= (size_t)r;
		else if (r == 0)
			errno = EPIPE;
		if (r == 0 || (r == -1 && errno != EINTR))
			return -1;
	}
	return 0;
}

size_t
splice_len(const struct splice_pipe *pipe)
{
	return pipe == NULL ? 0 : pipe->len;
}
