/* takemsg.c: what two smbgates say to each other while one takes over from the other */
#include "config.h"

#include "daemon/takemsg.h"

#include "base/fdpass.h"
#include "base/tlv.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum {
	K_KIND = 1, K_PROTOCOL, K_WORKERS, K_PID, K_WHAT, K_NAME, K_ADDR, K_PORT, K_NUMBER,
	K_SECONDS, K_TEXT = 16, K_PIECE, K_NOTIFY, K_WATCHED, K_RELOADED,
};

static const struct tlv_field fields[] = {
	TLV_UINT(K_KIND, takemsg, kind),
	TLV_UINT(K_PROTOCOL, takemsg, protocol),
	TLV_UINT(K_WORKERS, takemsg, workers),
	TLV_UINT(K_PID, takemsg, pid),
	TLV_UINT(K_WHAT, takemsg, what),
	TLV_TEXT(K_NAME, takemsg, name),
	TLV_BYTES(K_ADDR, takemsg, address.addr),
	TLV_UINT(K_PORT, takemsg, address.port),
	TLV_UINT(K_NUMBER, takemsg, number),
	TLV_UINT(K_SECONDS, takemsg, seconds),
	TLV_TEXT(K_TEXT, takemsg, text),
	TLV_BYTES(K_PIECE, takemsg, piece),
	TLV_TEXT(K_NOTIFY, takemsg, notify),
	TLV_BOOL(K_WATCHED, takemsg, watched),
	TLV_BOOL(K_RELOADED, takemsg, reloaded),
};

bool
takemsg_send(int to, const struct takemsg *m, int fd)
{
	struct tlv_out o = { .len = 0 };
	bool heard;

	tlv_put_fields(&o, m, fields, COUNT(fields));
	heard = !o.bad && fdpass_send(to, o.data, o.len, fd, 0) == 0;
	tlv_out_fini(&o);
	return heard;
}

int
takemsg_recv(int from, struct takemsg *m, int *fd, int flags)
{
	uint8_t packet[TAKE_MSG_MAX];
	ssize_t n = fdpass_recv(from, packet, sizeof(packet), fd, flags);
	struct tlv_in in;

	*m = (struct takemsg){ .kind = 0 };
	if (n <= 0)
		return (int)n;
	in = tlv_in(packet, (size_t)n);
	while (tlv_next(&in))
		if (!tlv_get_field(&in, m, fields, COUNT(fields)))
			tlv_unknown(&in);
	if (!in.bad && m->kind != 0)
		return 1;
	if (*fd != -1)
		close(*fd);
	*fd = -1;
	errno = EPROTO;
	return -1;
}

bool
takemsg_trusts(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	    (peer.uid == 0 || peer.uid == geteuid());
}
