/* host/dns.h: names looked up on threads of their own, so that the loop never waits.
 *
 *   loop: ask ──▶ queue ──▶ thread (at most 4, started when needed): getaddrinfo, or our own client ──▶ done ──▶ loop: step, callback
 *
 * Addresses come from the system (getaddrinfo: /etc/hosts and whatever else it is told to use), texts from the name servers of
 * /etc/resolv.conf; with a server named, both from that one. getaddrinfo cannot be interrupted: the loop answers its caller when the time
 * is over, and a host that ends leaves such a thread behind, with memory of its own that it frees when the call returns. */
#ifndef MSUB_HOST_DNS_H
#define MSUB_HOST_DNS_H
#include "host/limits.h"
#include "host/transport/transport.h"

typedef enum msub__dns_kind { MSUB__DNS_IP4 = 1, MSUB__DNS_IP6 = 2, MSUB__DNS_IPS = 3, MSUB__DNS_TEXTS = 4 } msub__dns_kind;

typedef struct msub__dns_text {
  uint16_t n;
  char bytes[MSUB__HOST_DNS_TEXT];
} msub__dns_text;
typedef struct msub__dns_answer {
  int err;          /* OK (there is at least one), NOTFOUND, TIMEOUT, IO, MALFORMED (the server talks nonsense) */
  const char *text; /* static text of err */
  unsigned n;
  union { /* in the order in which they came; more than fit are left out */
    msub__tr_addr ips[MSUB__HOST_DNS_ANSWERS]; /* without port */
    msub__dns_text texts[MSUB__HOST_DNS_ANSWERS];
  };
} msub__dns_answer;

typedef struct msub__dns msub__dns;
/* server: "IP:PORT", "[IP6]:PORT", NULL: the system's. wake(wake_ud): answers to fetch, any thread. INVAL: the server; NOMEM, IO. */
MSUB_MUST int msub__dns_new(const char *server, void (*wake)(void *ud), void *wake_ud, msub__dns **out);
void msub__dns_free(msub__dns *d); /* NULL is fine. Nobody is called any more */
/* One callback per question, from msub__dns_step(); a->… are views for the call. `name`: at most 253 bytes. NOMEM, IO (no thread). */
typedef void (*msub__dns_done)(void *own, const msub__dns_answer *a);
MSUB_MUST int msub__dns_look_up(msub__dns *d, msub__dns_kind kind, msub_bytes name, uint64_t deadline_mono_ns, msub__dns_done done, void *own);
void msub__dns_step(msub__dns *d); /* NULL is fine */

/* dns_client.c: asks name servers, on the calling thread. abort_fd: readable when it has to end. Servers that cannot be used are
 * skipped. The name may be anything. */
typedef struct msub__dns_servers {
  unsigned n;
  msub__tr_addr at[3];
} msub__dns_servers;
void msub__dns_query(const msub__dns_servers *servers, msub__dns_kind kind, msub_bytes name, uint64_t deadline, int abort_fd,
                     msub__dns_answer *out);
/* Of a text as in /etc/resolv.conf; a server that is named nowhere is 127.0.0.1. */
void msub__dns_servers_read(const char *resolv_conf, msub__dns_servers *out);
MSUB_MUST bool msub__dns_server_parse(const char *text, msub__tr_addr *out);
/* Takes what belongs to the question out of a response; true: it is one (a->err is set, TRUNCATED apart). */
MSUB_MUST bool msub__dns_understand(msub_bytes response, uint16_t id, msub__dns_kind kind, msub_bytes name, msub__dns_answer *a, bool *truncated);
#endif
