/* wire/yamux_state.h: what the yamux_*.c files share.
 *
 *   session ─┬─ streams: array of pointers, sorted by id
 *            ├─ due:     list of streams that have a control frame to be written, oldest first
 *            └─ graves:  streams that ended inside a callback; freed when it has returned
 *
 * Ids come ascending, so a new stream is nearly always put at the end; a search is a bisection, and no choice
 * of ids makes it slow. Each stream owes at most one control frame: SYN, ACK, FIN and credit share one
 * WindowUpdate, and RST replaces all of them. So what is pending is counted, not queued. */
#ifndef MSUB_WIRE_YAMUX_STATE_H
#define MSUB_WIRE_YAMUX_STATE_H
#include "base/buf.h"
#include "base/list.h"
#include "wire/yamux.h"

enum { TYPE_DATA, TYPE_WINDOW, TYPE_PING, TYPE_GOAWAY };
enum { FLAG_SYN = 1, FLAG_ACK = 2, FLAG_FIN = 4, FLAG_RST = 8 };

/* msub__ystream.flags */
enum {
  Y_INBOUND = 1 << 0,
  Y_SYN = 1 << 1,      /* the peer has not been told of it */
  Y_ANNOUNCE = 1 << 2, /* due: SYN, although there is no data */
  Y_UNACKED = 1 << 3,  /* ours, not acknowledged */
  Y_ACK = 1 << 4,      /* due: ACK */
  Y_CREDIT = 1 << 5,   /* due: a larger window */
  Y_FIN = 1 << 6,      /* due: FIN */
  Y_FIN_SENT = 1 << 7,
  Y_FIN_SEEN = 1 << 8, /* the peer's came, */
  Y_FIN_TOLD = 1 << 9, /* and so did all bytes before it */
  Y_RST = 1 << 10,     /* due: RST */
  Y_DEAD = 1 << 11,    /* out of the table; only a due RST keeps the object */
  Y_LISTED = 1 << 12,  /* in session's list `due` */
  Y_ASKED = 1 << 13    /* read() was called inside a callback */
};
#define Y_DUE (Y_ANNOUNCE | Y_ACK | Y_CREDIT | Y_FIN | Y_RST)

struct msub__ystream {
  msub__yamux *y;
  void *word;
  msub__node node;   /* in due or graves */
  msub__buf unread;  /* came and was not taken */
  uint64_t epoch_ns; /* when the window was last renewed */
  uint64_t since_ns; /* when it was opened (until acknowledged) or finished by us */
  uint32_t id;
  uint32_t send_left; /* bytes the peer lets us send */
  uint32_t recv_left; /* bytes we still let the peer send; window - recv_left - unread: taken, credit not yet
                         given back */
  uint32_t window;
  uint16_t flags;
};

/* One word: the time at which the bucket is full again. */
typedef struct bucket {
  uint64_t full_at;
} bucket;

#define REFUSED_MAX 16u

struct msub__yamux {
  msub_mem mem;
  const msub__yamux_ops *ops;
  void *ud;
  msub__yamux_shared *shared;
  msub__ystream **streams;
  uint32_t n, cap;
  uint32_t max_inbound;
  uint32_t n_due, n_asked;
  msub__node due, graves;
  msub__ystream *showing; /* whose unread bytes a callback looks at */
  /* input: a header under way, then the body of its frame */
  msub__ystream *body; /* NULL: the body is dropped */
  uint32_t body_left;
  bool body_fin;
  uint8_t head_n;
  uint8_t head[MSUB__YAMUX_HEADER];
  uint8_t n_refused;
  bool initiator, busy, closed;
  bool goaway_seen, goaway_said, goaway_due;
  bool pong_due;
  uint8_t ping; /* PING_* */
  int err;      /* the session is over */
  uint32_t goaway_code, pong_value, ping_value;
  uint32_t next_id;
  uint32_t refused[REFUSED_MAX]; /* streams that got no object; RST is due */
  bucket empties, resets;
  size_t buffered;
  uint64_t now_ns, heard_ns;
  uint64_t ping_ns, pong_free_ns, rtt_ns, rtt_at_ns;
  uint64_t full_until, drain_until; /* MSUB_NEVER: reading goes on */
  uint64_t sweep_ns;                /* not later than the first half-open stream's end */
  msub__yamux_counts counts;
};
enum { PING_NONE, PING_DUE, PING_SENT };

/* ---- yamux_stream.c ---- */
msub__ystream *msub__yamux_find(const msub__yamux *y, uint32_t id);
/* The first with a greater id; NULL: none. 0 begins a walk, which may go on after callbacks have changed the
 * table. */
msub__ystream *msub__yamux_after(const msub__yamux *y, uint32_t id);
/* A stream in the table with both windows at their start; NULL: no memory. */
msub__ystream *msub__yamux_add(msub__yamux *y, uint32_t id, uint16_t flags);
void msub__yamux_mark(msub__ystream *s, uint16_t due);
void msub__yamux_unmark(msub__ystream *s, uint16_t due); /* leaves the list when nothing is due any more */
/* Takes s out of the table and of every account. It is freed at once, or lives on in `due` or `graves`. */
void msub__yamux_kill(msub__ystream *s, bool rst);
/* The same with on_end(why). Not inside a callback. */
void msub__yamux_end(msub__ystream *s, int why, bool rst);
void msub__yamux_destroy(msub__ystream *s); /* of a dead one */
/* n unread bytes of s are taken, or lost with it. */
void msub__yamux_unbuffer(msub__ystream *s, size_t n);
/* on_data for what is unread, then on_fin and on_end when they are due. s may be gone afterwards. */
void msub__yamux_show(msub__ystream *s);
/* Gives credit back when half a window was taken. */
void msub__yamux_credit(msub__ystream *s);
/* on_fin and on_end when they are due; s may be gone afterwards. */
void msub__yamux_settle_fin(msub__ystream *s);

/* ---- yamux_window.c ---- */
/* Bytes that may be added to what is kept unread. */
size_t msub__yamux_allowance(const msub__yamux *y);
bool msub__yamux_control_full(const msub__yamux *y);
/* The credit to be announced, the window being grown first when it turned over fast; recv_left includes it
 * then. */
uint32_t msub__yamux_renew(msub__ystream *s);

/* ---- yamux_time.c ---- */
void msub__yamux_enter(msub__yamux *y, uint64_t now_ns);
void msub__yamux_leave(msub__yamux *y);
/* The end of the connection; code < 0: without GoAway. Returns err. */
int msub__yamux_fatal(msub__yamux *y, int err, int64_t code);
/* One event; false: the bucket was empty. */
bool msub__yamux_charge(bucket *b, uint64_t now_ns, uint32_t burst, uint32_t per_s);
#endif
