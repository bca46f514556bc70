/* routers/gossipsub/limits.h: every bound of the router that is no option. All are *work* limits: over one the rest is ignored,
 * nobody is blamed. The go_parity profile works as much as the reference where the text says so. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_LIMITS_H
#define MSUB_ROUTERS_GOSSIPSUB_LIMITS_H

/* ---- tables ---- */

/* Full: a new backoff is not remembered and counted; the worst that follows is a GRAFT that is refused. */
#define MSUB__GS_BACKOFFS 262144u
/* Members of one mesh (fanout): a GRAFT beyond it is refused, whatever dhi says. dhi is at most this. */
#define MSUB__GS_MEMBERS 4096u
#define MSUB__GS_DIRECT 256u /* direct peers; full: the command answers LIMIT */
/* Dropped GRAFTs and PRUNEs that are to be sent again; full: the newest is not kept, the other side learns by its own GRAFT. */
#define MSUB__GS_RETRIES 4096u
/* IWANTs that wait for an answer; full: the oldest is forgotten, and may be asked for once more. */
#define MSUB__GS_ASKS 16384u
/* Ids that peers do not want, per heartbeat: of all, of one peer. Full: not kept; the peer gets a copy that it did not need. */
#define MSUB__GS_UNWANTED 131072u
#define MSUB__GS_UNWANTED_PEER 4096u

/* Addresses whose conduct the gater knows. Full: the one without a session that ends soonest goes; all have one: the others share one
 * record. And topics with a weight. */
#define MSUB__GS_GATER_SOURCES 8192u
#define MSUB__GS_GATER_TOPICS 1024u

/* Peers whose answered bytes are counted in a heartbeat; full: others get nothing until the next. (peer, topic) pairs that heard gossip within
 * `history` heartbeats; full: another peer hears none, as it would not be served. */
#define MSUB__GS_SERVED 65536u
#define MSUB__GS_ADVERTS 262144u

/* ---- scores ---- */

#define MSUB__GS_ALLOW 64u            /* addresses in ip_allow */
#define MSUB__GS_PEER_ADDRESSES 16u   /* of a peer that count; more do not */
#define MSUB__GS_SCORED_TOPICS 4095u  /* full: a new topic is not scored */
#define MSUB__GS_SCORED_LINKS 1048575u /* peers with a score in one topic; full: another has none there */
/* Delivery records, and senders of copies noted in them; full: the oldest record goes, a sender is not noted. */
#define MSUB__GS_RECORDS 131072u
#define MSUB__GS_RECORD_PEERS 524288u
#define MSUB__GS_ORIGINS 8192u        /* addresses whose debts are known; full: the one that has been quiet longest goes */
#define MSUB__GS_PROMISES 65536u      /* IWANTs that must be answered; full: the oldest is forgiven */

/* Probes of a topic (probe.h): out at once; at most one so often, of members of at least so many heartbeats; after what time a copy is
 * late, when one that was not met is sent after all, when it is judged, when one is given up that no verdict comes of; how long nobody is asked when nobody seems to forward, doubled up to 64 times. */
#define MSUB__GS_PROBES 16u
#define MSUB__GS_PROBE_EVERY (100 * MSUB__MS)
#define MSUB__GS_PROBE_AGE 15u
#define MSUB__GS_PROBE_LATE (500 * MSUB__MS)
#define MSUB__GS_PROBE_REPAIR (1 * MSUB__S)
#define MSUB__GS_PROBE_WAIT (2500 * MSUB__MS)
#define MSUB__GS_PROBE_PENDING (60 * MSUB__S)
#define MSUB__GS_PROBE_PAUSE (300 * MSUB__S)

/* ---- work per peer and heartbeat ---- */

#define MSUB__GS_IHAVE_IDS 2000u  /* ids of an IHAVE that are looked at (parity: max_ihave_length) */
#define MSUB__GS_IHAVE_ASKED 500u /* ids asked for, if max_ihave_length is not less (parity: that) */
#define MSUB__GS_LOOKED 20000u    /* ids of IHAVE and IWANT looked at together (parity: any number) */
#define MSUB__GS_REFUSALS 512u    /* GRAFTs answered with PRUNE; more of them get no answer (parity: any number) */

/* ---- peer exchange ---- */

#define MSUB__GS_HINTS 128u          /* peers handed to the world in a heartbeat, from all PRUNEs together */
#define MSUB__GS_PX_PEERS 64u        /* greatest prune_peers */
#define MSUB__GS_PX_BYTES (8 * 1024) /* records in a PRUNE: the stock peer with the smallest limit takes 16 KiB of control */

/* ---- partial messages ---- */

#define MSUB__GS_PARTIAL_ID 128u           /* bytes of a group's id */
#define MSUB__GS_PARTIAL_STATE 1024u       /* bytes of a peer's state in a group */
/* Groups that peers began: of a topic, of a peer in a topic (both as the reference), of all. */
#define MSUB__GS_PARTIAL_FOREIGN 255u
#define MSUB__GS_PARTIAL_FOREIGN_PEER 8u
#define MSUB__GS_PARTIAL_FOREIGN_ALL 2048u
#define MSUB__GS_PARTIAL_GROUPS 4096u      /* groups, ours included; full: the publish answers LIMIT */
/* States of peers in groups: all, those that peers brought about by writing, of one peer. */
#define MSUB__GS_PARTIAL_STATES 65536u
#define MSUB__GS_PARTIAL_STATES_IN 49152u
#define MSUB__GS_PARTIAL_STATES_PEER 4096u
#define MSUB__GS_PARTIAL_RPCS 1024u        /* of a peer in a heartbeat, and their bytes */
#define MSUB__GS_PARTIAL_BYTES (8u * 1024 * 1024)
#define MSUB__GS_PARTIAL_TTL 3u            /* least heartbeats that a group lives */
#define MSUB__GS_PARTIAL_TO 1024u          /* peers that a publish may name */

/* ---- what we send ---- */

#define MSUB__GS_GOSSIP_IDS 20000u           /* ids of a topic considered for IHAVE, newest first */
/* Gathered in a heartbeat before what is there is sent: bytes of ids, (peer, topic) pairs. */
#define MSUB__GS_GOSSIP_BYTES (1024 * 1024)
#define MSUB__GS_GOSSIP_TOLD 65536u
/* Go peers take ten RPCs with control in a heartbeat. A peer that hears gossip of at most this many topics gets an IHAVE RPC for
 * each, shared with the others that hear the same; above it gets one of its own with all of them. */
#define MSUB__GS_SHARED_IHAVES 6u
#define MSUB__GS_IDONTWANT_IDS 10u /* of an RPC: what stock peers keep of it */

/* ---- time ---- */

#define MSUB__GS_SWEEP_TICKS 15u /* heartbeats between sweeps of the backoffs */
#define MSUB__GS_SLACK_PARITY (2 * MSUB__S)
#define MSUB__GS_DIRECT_DELAY (1 * MSUB__S) /* after the start the direct peers are called for */
#define MSUB__GS_GATER_LATE (60 * MSUB__S)  /* after a session ended, verdicts on its messages still reach the gater */
#define MSUB__GS_MAX_TTL 16u                /* greatest idontwant_ttl */

#endif
