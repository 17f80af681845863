/* evidence.h: pure: what is to be done about a live connection whose node is in doubt */
#ifndef PROXY_EVIDENCE_H
#define PROXY_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/leg.h"

struct evidence {
	/* Of the node. */
	bool doubt;			/* it does not answer probes */
	bool way_out;			/* and the client would be served elsewhere ... */
	uint64_t way_out_for_ms;	/* ... since so long */
	bool gone;			/* another connection of it has been found dead */
	bool hung;			/* by its probes */
	uint64_t trusted_for_ms;	/* it answers probes since so long, if it is not in doubt */
	/* Of the connection. */
	enum leg_care care;
	struct leg_news news;
	bool owed;			/* the client waits for an answer ... */
	uint64_t owed_for_ms;		/* ... and no byte has come for so long */
	/* policy: longer than that it does not wait for a hung node */
	uint64_t hang_ms;
};

enum evidence_act {
	EVIDENCE_CARE,		/* nothing but the care */
	/* close it: the machine at the other end does not answer any more */
	EVIDENCE_GONE,
	EVIDENCE_HUNG,		/* close it: the server there does not answer, its machine may */
};

struct evidence_verdict {
	enum evidence_act act;
	enum leg_care care;
};

struct evidence_verdict evidence_judge(const struct evidence *e);

#endif
