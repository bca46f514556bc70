/* A listening stream socket with a bounded number of clients, for the program's own poll loop: no thread, nothing that waits. What a client
 * has sent and nobody has used stands in `in`, what it has not taken yet in `out`; a client that does not take what waits is not read.
 *
 *   server_fds()   what to poll for             server_turn()   accepts, reads, calls, writes
 *
 * A client that has to go is marked, and freed in server_turn(): callbacks and client_send() may be used from anywhere. */
#ifndef CLI_SERVE_H
#define CLI_SERVE_H
#include "cli/text.h"
#include <poll.h>

#define SERVER_CLIENTS 32u /* at a time; one more is closed at once */
#define SERVER_FDS (SERVER_CLIENTS + 1)

typedef struct server server;
typedef struct client {
  server *server;
  int fd;
  uint8_t *in, *out;
  size_t in_n, in_cap, out_at, out_n, out_cap; /* out: what waits is out_at … out_n */
  uint64_t since_ns, moved_ns; /* it came; bytes went out last, or began to wait */
  bool ending, gone;           /* closed when `out` is empty; now */
  bool input_ended;
  bool owed;                   /* set by the owner: an answer comes later, so the client stays though it has sent its last */
  bool shut;                   /* all is out; what still comes is thrown away (linger_ns) */
  bool secret;                 /* set by the owner: what came and what goes out is wiped */
  bool again;                  /* set by came(): enough for this turn, there may be more to use */
  void *ud;
} client;

struct server {
  int fd; /* -1: closed */
  client *clients[SERVER_CLIENTS];
  size_t n;
  size_t in_max;        /* bytes of `in`; a client that is not understood by then is gone */
  size_t out_high;      /* not read while so much waits for it */
  uint64_t whole_ns;    /* a client's life; 0: as long as it likes */
  uint64_t write_ns;    /* bytes that wait so long without one going out end the client; 0: never */
  uint64_t linger_ns;   /* after the last byte: a client that still sends is heard so long, since closing would take the answer away from it; 0: not */
  uint64_t accept_at;   /* after an error of accept() */
  uint64_t accepted, refused, late, overlong; /* clients: in all; too many; over whole_ns or write_ns; over in_max */
  void *ud;
  bool (*opened)(client *c); /* false: close it. May be NULL */
  /* Something was read. How many bytes of `in` were used; it is called again while it uses some and out_high is not reached. */
  size_t (*came)(client *c);
  void (*closed)(client *c); /* may be NULL */
};

/* Takes the listening descriptor, which it makes non-blocking. */
void server_init(server *s, int fd, void *ud);
/* A connection that came in, to be served: the server's from now on. */
void server_adopt(server *s, int fd);
/* Closes all clients at once, then the listening socket. */
void server_close(server *s);
/* Fills in SERVER_FDS at most; how many. */
size_t server_fds(const server *s, struct pollfd *fds);
/* When server_turn() has something to do though nothing is ready; MSUB_NEVER. */
uint64_t server_deadline(const server *s);
/* fds: as server_fds() filled them in, after poll(). */
void server_turn(server *s, const struct pollfd *fds, size_t n);
/* Copies; written in the next server_turn(). */
void client_send(client *c, const void *bytes, size_t n);
size_t client_waiting(const client *c);
/* Closed when what waits is out; what comes is not looked at any more. */
void client_end(client *c);

#endif
