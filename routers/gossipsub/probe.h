/* routers/gossipsub/probe.h: does a member of the mesh forward?
 *
 * Who gets every message from us first has nothing to bring, and looks like a member that forwards nothing. So now and then a message is not
 * sent to one member. One that forwards gets it from its other peers and brings it to us; one that does not, does not:
 *
 *   arrived ─ one member is chosen ─▶ forwarded, but not to it ─▶ after 1 s the heartbeat sends it all the same ─▶ after 2.5 s it is judged
 *             (nor gets IDONTWANT)             └─ it brings a copy: level - 3 ─┘                                      level + 8
 *
 * The second and a half between them are for a member that tests us with the same message: it sends it to us then.
 *
 * Levels are sums that know no less than 0 (CUSUM); at 60 a member owes. So it takes eight in a row, about 24 when it drops half, and one that
 * loses a few in a hundred gets there once in 10^7. A second level is of one author, the first whose message it did not bring: who leaves out
 * one author of many is at 0 by the first.
 *
 *   topic: members │ a  b  c  d │
 *          standing│ a  b  c  d │   level, suspect, of_suspect, proven, age
 *          out     │ id, to whom, when │ … at most MSUB__GS_PROBES
 *
 * Nothing is asked of a mesh below dlo, and nothing counts against anybody while fewer than two others have shown that they forward: around us
 * may be peers that know nobody else. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_PROBE_H
#define MSUB_ROUTERS_GOSSIPSUB_PROBE_H
#include "routers/gossipsub/gossipsub.h"

typedef struct msub__gs_standing {
  uint32_t suspect;
  uint8_t level, of_suspect, proven, age;
} msub__gs_standing;
typedef struct msub__gs_probe {
  uint8_t *id;
  uint64_t hash, when; /* when: it was sent to the others; chosen, while that has not been (PENDING) */
  msub_session to;
  uint32_t author;
  uint8_t id_n, is; /* probe.c */
} msub__gs_probe;
struct msub__gs_probes {
  uint64_t next; /* not before */
  uint32_t cap, n_out;
  uint8_t pauses; /* so far, in a row */
  msub__gs_probe out[MSUB__GS_PROBES];
  msub__gs_standing of[];
};
static inline bool msub__gs_probes_out(const msub__gs_topic *tt) { return tt && tt->probes && tt->probes->n_out; }

/* A message has come from a peer, and will be judged: chooses who is not sent it. */
void msub__gs_probe_begin(msub_router *r, msub_topic t, const msub_msg *m, msub_session from);
/* msub__gs_probes_out(). Is the member left out for this id (its hash)? */
bool msub__gs_probe_is(const msub__gs_topic *tt, msub_session s, uint64_t hash);
/* The message goes out now, without that member (false: it is none): from here on it is waited for. */
bool msub__gs_probe_sent(msub_router *r, msub__gs_topic *tt, msub_session s, uint64_t hash);
/* Judged: those who sent it, too, have brought it; one that is not accepted asks nothing of anybody. */
void msub__gs_probe_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, bool accepted);
void msub__gs_probe_copy(msub_router *r, msub_topic t, msub_bytes id, msub_session from);
void msub__gs_probe_unheard(msub_router *r, msub_session s); /* what it may have brought was not looked at */
void msub__gs_probe_heartbeat(msub_router *r);

/* members.c: a member is about to be put in at this place, or has been taken out. Without memory all standing is forgotten. */
void msub__gs_probe_insert(msub_router *r, msub__gs_topic *tt, uint32_t place);
void msub__gs_probe_remove(msub_router *r, msub__gs_topic *tt, uint32_t place, msub_session s);
void msub__gs_probe_free(msub_router *r, msub__gs_topic *tt);
#endif
