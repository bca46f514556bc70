#define _GNU_SOURCE /* ip_mreqn, in_pktinfo, ipv6_mreq, getifaddrs */
#include "host/mdns.h"
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/rng.h"
#include "host/addrs.h"

#define PORT 5353
#define GROUP 0xe00000fbu /* 224.0.0.251 */
static const struct in6_addr group6 = { .s6_addr = { 0xff, 2, [15] = 0xfb } }; /* ff02::fb */
#define ANNOUNCED 2u      /* times that news are told unasked, RFC 6762's figure */

typedef struct iface_addr {
  msub__tr_addr at; /* without port */
  uint8_t mask[16]; /* of its network */
} iface_addr;
typedef struct iface {
  unsigned index, n, announces;
  bool four; /* IPv4 is spoken */
  int fd6;   /* -1: no IPv6. One for each, since a link-local group is bound with its zone; nothing but the group comes in */
  iface_addr addrs[MSUB__HOST_MDNS_INTERFACE_ADDRS];
  uint64_t answer_at, services_at, answered_at; /* MSUB_NEVER: there is nothing to say; answered_at 0: nothing was */
} iface;
typedef struct told { msub__mdns_place place; msub__tr_addr sender; } told;

struct msub__mdns {
  pthread_mutex_t lock;
  pthread_t thread;
  int wake_fd[2];
  void (*wake)(void *ud);
  void *wake_ud;
  atomic_bool news; /* something to take, or counted */
  /* Under the lock. */
  bool stop, ask, moved;
  size_t n_at, first, queued;
  msub__tr_addr at[MSUB__HOST_LISTENERS];
  told queue[MSUB__HOST_MDNS_QUEUED];
  msub__mdns_counts counts;
  /* The thread's. */
  int fd;
  msub_peer_id self;
  msub__mdns_label label;
  msub__rng rng;
  size_t n_ifaces, n_mine;
  iface ifaces[MSUB__HOST_MDNS_INTERFACES];
  msub__tr_addr mine[MSUB__HOST_LISTENERS];
  uint64_t ask_at, asked_at, pause;
  msub__mdns_budget budget;
  msub__mdns_heard heard;
  uint8_t in[MSUB__HOST_MDNS_PACKET + 1], out[MSUB__MDNS_OUT];
};

static void add_count(msub__mdns *m, uint64_t *count, uint64_t n) {
  (void)pthread_mutex_lock(&m->lock);
  *count += n;
  (void)pthread_mutex_unlock(&m->lock);
  atomic_store(&m->news, true);
}

/* ---- interfaces ---- */

static iface *iface_at(msub__mdns *m, unsigned index) {
  for (size_t i = 0; i < m->n_ifaces; i++)
    if (m->ifaces[i].index == index) return &m->ifaces[i];
  return NULL;
}

typedef enum family { OTHER, FOUR, SIX } family;

/* An address and its port's place is left 0; OTHER: neither. */
static family addr_of(const struct sockaddr *from, msub__tr_addr *to) {
  *to = (msub__tr_addr){ .n = 0 };
  if (from && from->sa_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, from, sizeof in);
    memcpy(to->ip, &in.sin_addr, to->n = 4);
    return FOUR;
  }
  if (from && from->sa_family == AF_INET6) {
    struct sockaddr_in6 in;
    memcpy(&in, from, sizeof in);
    memcpy(to->ip, &in.sin6_addr, to->n = 16);
    return SIX;
  }
  return OTHER;
}

/* What family it lets the interface speak. Loopback is nobody else's network; a link-local address is good to speak from, but would need a zone to be told. */
static family add_addr(iface *f, const struct ifaddrs *a) {
  iface_addr one;
  msub__tr_addr mask;
  family of = addr_of(a->ifa_addr, &one.at);
  if (of == OTHER || msub__ip_loopback(msub__ip(&one.at))) return OTHER;
  if (msub__mdns_link_local(msub__ip(&one.at)) || f->n == MSUB__HOST_MDNS_INTERFACE_ADDRS) return of;
  memset(one.mask, 0xff, sizeof one.mask);
  if (addr_of(a->ifa_netmask, &mask) == of) memcpy(one.mask, mask.ip, mask.n);
  f->addrs[f->n++] = one;
  return of;
}

static bool joined(const msub__mdns *m, unsigned index) {
  struct ip_mreqn q = { .imr_multiaddr.s_addr = htonl(GROUP), .imr_ifindex = (int)index };
  return setsockopt(m->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &q, sizeof q) == 0 || errno == EADDRINUSE;
}

static int open_six(unsigned index);
static void close_six(iface *f) {
  if (f->fd6 >= 0) (void)close(f->fd6);
  f->fd6 = -1;
}

/* Its addresses, and what can be spoken there. false: nothing. */
static bool look_at(const msub__mdns *m, iface *f, const struct ifaddrs *all, const char *name) {
  bool has[SIX + 1] = { false };
  f->n = 0;
  for (const struct ifaddrs *b = all; b; b = b->ifa_next)
    if (b->ifa_addr && strcmp(b->ifa_name, name) == 0) has[add_addr(f, b)] = true;
  f->four = has[FOUR] && joined(m, f->index);
  if (!has[SIX]) close_six(f);
  else if (f->fd6 < 0 && (f->fd6 = open_six(f->index)) >= 0) f->announces = ANNOUNCED;
  return f->four || f->fd6 >= 0;
}

/* Those that are new are told of us; the others keep what they know of what was said. */
static void look_at_interfaces(msub__mdns *m) {
  iface before[MSUB__HOST_MDNS_INTERFACES];
  size_t n_before = m->n_ifaces;
  struct ifaddrs *all = NULL;
  if (getifaddrs(&all) != 0) return;
  memcpy(before, m->ifaces, sizeof before);
  m->n_ifaces = 0;
  for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
    if (!a->ifa_addr || (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6)) continue;
    if (!(a->ifa_flags & IFF_UP) || !(a->ifa_flags & IFF_MULTICAST)) continue;
    unsigned index = if_nametoindex(a->ifa_name);
    if (index == 0 || iface_at(m, index) || m->n_ifaces == MSUB__HOST_MDNS_INTERFACES) continue;
    iface f = { .index = index, .announces = ANNOUNCED, .fd6 = -1, .answer_at = MSUB_NEVER, .services_at = MSUB_NEVER };
    for (size_t i = 0; i < n_before; i++) {
      if (before[i].index != index) continue;
      f = before[i];
      before[i].fd6 = -1; /* it has moved */
    }
    if (look_at(m, &f, all, a->ifa_name)) m->ifaces[m->n_ifaces++] = f;
  }
  for (size_t i = 0; i < n_before; i++) close_six(&before[i]);
  freeifaddrs(all);
}

/* ---- saying ---- */

/* How many messages went out, or are lost: one that is is asked for again. */
static unsigned send_on(const msub__mdns *m, const iface *f, size_t n) {
  unsigned sent = 0;
  if (n == 0) return 0;
  struct ip_mreqn q = { .imr_ifindex = (int)f->index };
  if (f->four && setsockopt(m->fd, IPPROTO_IP, IP_MULTICAST_IF, &q, sizeof q) == 0) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(GROUP) };
    (void)sendto(m->fd, m->out, n, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)(const void *)&to, sizeof to);
    sent++;
  }
  if (f->fd6 >= 0) {
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = group6, .sin6_scope_id = f->index };
    (void)sendto(f->fd6, m->out, n, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)(const void *)&to, sizeof to);
    sent++;
  }
  return sent;
}

/* Where we can be reached on this interface. */
static size_t addrs_on(const msub__mdns *m, const iface *f, msub__tr_addr *out, size_t cap) {
  size_t n = 0;
  for (size_t l = 0; l < m->n_mine; l++) {
    const msub__tr_addr *at = &m->mine[l];
    bool any = true;
    if (at->ws) continue; /* for browsers, which do not ask here */
    for (unsigned i = 0; i < at->n; i++) any &= at->ip[i] == 0;
    for (unsigned i = 0; i < f->n && n < cap; i++) {
      const msub__tr_addr *ip = &f->addrs[i].at;
      if (ip->n != at->n || (!any && memcmp(ip->ip, at->ip, ip->n) != 0)) continue;
      out[n] = *ip;
      out[n++].port = at->port;
    }
  }
  return n;
}

static bool answer_on(msub__mdns *m, const iface *f, uint32_t ttl_s) {
  msub__tr_addr addrs[MSUB__HOST_MDNS_PLACES];
  size_t n = msub__mdns_answer(&m->label, msub_peer_id_bytes(&m->self), addrs, addrs_on(m, f, addrs, MSUB__HOST_MDNS_PLACES), ttl_s, m->out);
  add_count(m, &m->counts.answered, send_on(m, f, n));
  return n > 0;
}

/* A moment later, so that not all speak at once; and not sooner than a second after the last time. */
static uint64_t soon(msub__mdns *m, const iface *f, uint64_t now) {
  uint64_t at = msub__deadline(now, 20 * MSUB__MS + msub__rng_below(&m->rng, 100) * MSUB__MS);
  uint64_t again = f->answered_at ? msub__deadline(f->answered_at, MSUB__HOST_MDNS_ANSWER_NS) : 0;
  return at > again ? at : again;
}

static void answer_due(msub__mdns *m, uint64_t now) {
  for (size_t i = 0; i < m->n_ifaces; i++) {
    iface *f = &m->ifaces[i];
    if (f->announces > 0 && f->answer_at == MSUB_NEVER) f->answer_at = soon(m, f, now);
    if (msub__passed(f->answer_at, now)) {
      f->answer_at = MSUB_NEVER;
      if (f->announces > 0) f->announces--;
      if (answer_on(m, f, MSUB__HOST_MDNS_TTL_S)) f->answered_at = now;
    }
    if (msub__passed(f->services_at, now)) {
      f->services_at = MSUB_NEVER;
      f->answered_at = now;
      if (m->n_mine > 0) (void)send_on(m, f, msub__mdns_services(m->out));
    }
  }
}

uint64_t msub__mdns_next_pause(uint64_t pause) { return msub__sooner(msub__sat_mul_u64(pause, 2), MSUB__HOST_MDNS_ASK_MAX_NS); }

static void ask_due(msub__mdns *m, uint64_t now) {
  if (!msub__passed(m->ask_at, now)) return;
  look_at_interfaces(m);
  unsigned sent = 0;
  for (size_t i = 0; i < m->n_ifaces; i++) sent += send_on(m, &m->ifaces[i], msub__mdns_question(m->out));
  add_count(m, &m->counts.asked, sent);
  m->asked_at = now;
  m->ask_at = msub__deadline(now, m->pause + msub__rng_below(&m->rng, (uint32_t)(m->pause / MSUB__MS / 4)) * MSUB__MS);
  m->pause = msub__mdns_next_pause(m->pause);
}

/* ---- hearing ---- */

/* No router passes on what comes from a link-local address. */
static bool is_near(const iface *f, msub_bytes ip) {
  if (msub__mdns_link_local(ip)) return true;
  for (unsigned i = 0; i < f->n; i++) {
    const iface_addr *a = &f->addrs[i];
    bool same = a->at.n == ip.n;
    for (size_t b = 0; same && b < ip.n; b++) same = ((a->at.ip[b] ^ ip.p[b]) & a->mask[b]) == 0;
    if (same) return true;
  }
  return false;
}

static void pass_on(msub__mdns *m, const msub__tr_addr *sender) {
  bool any = false;
  (void)pthread_mutex_lock(&m->lock);
  for (unsigned i = 0; i < m->heard.n; i++) {
    if (msub_bytes_eq(msub_peer_id_bytes(&m->heard.places[i].id), msub_peer_id_bytes(&m->self))) continue;
    if (m->queued == MSUB__HOST_MDNS_QUEUED) {
      m->counts.dropped++;
      continue;
    }
    told *t = &m->queue[(m->first + m->queued++) % MSUB__HOST_MDNS_QUEUED];
    t->place = m->heard.places[i];
    t->sender = *sender;
    any = true;
  }
  m->counts.refused += m->heard.refused;
  m->counts.zoneless += m->heard.zoneless;
  (void)pthread_mutex_unlock(&m->lock);
  atomic_store(&m->news, true);
  if (any) m->wake(m->wake_ud);
}

static void hear(msub__mdns *m, size_t n, unsigned index, const msub__tr_addr *sender, uint64_t now) {
  iface *f = iface_at(m, index);
  msub_bytes ip = { sender->ip, sender->n };
  if (!f || !is_near(f, ip)) {
    add_count(m, &m->counts.refused, 1);
    return;
  }
  if (n > MSUB__HOST_MDNS_PACKET || !msub__mdns_understand((msub_bytes){ m->in, n }, ip, &m->label, &m->heard)) {
    add_count(m, &m->counts.malformed, 1);
    return;
  }
  if (m->heard.asks && f->answer_at == MSUB_NEVER) f->answer_at = soon(m, f, now);
  if (m->heard.asks_services && f->services_at == MSUB_NEVER) f->services_at = soon(m, f, now);
  if (m->heard.n > 0 || m->heard.refused > 0 || m->heard.zoneless > 0) pass_on(m, sender);
}

/* index: of the interface; 0: the message says it. */
static void receive(msub__mdns *m, int fd, unsigned index, uint64_t now) {
  while (msub__mdns_budget_has(&m->budget, now, true)) {
    union { struct cmsghdr head; uint8_t room[CMSG_SPACE(sizeof(struct in_pktinfo))]; } control;
    struct sockaddr_storage from;
    struct iovec piece = { m->in, sizeof m->in };
    struct msghdr h = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
    struct in_pktinfo on = { .ipi_ifindex = (int)index };
    msub__tr_addr sender;
    from.ss_family = AF_UNSPEC;
    ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT);
    if (n < 0) {
      m->budget.n--;
      return;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
      if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) memcpy(&on, CMSG_DATA(c), sizeof on);
    if (addr_of((const struct sockaddr *)(const void *)&from, &sender) != OTHER) hear(m, (size_t)n, (unsigned)on.ipi_ifindex, &sender, now);
  }
  add_count(m, &m->counts.dropped, 1);
}

/* ---- the thread ---- */

static uint64_t mono(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * MSUB__S + (uint64_t)t.tv_nsec;
}

/* What the loop wants. false: the end. */
static bool orders(msub__mdns *m, uint64_t now) {
  (void)pthread_mutex_lock(&m->lock);
  bool stop = m->stop, ask = m->ask, moved = m->moved;
  m->ask = m->moved = false;
  if (moved) memcpy(m->mine, m->at, sizeof m->mine), m->n_mine = m->n_at;
  (void)pthread_mutex_unlock(&m->lock);
  uint64_t may_ask = m->asked_at ? msub__deadline(m->asked_at, MSUB__HOST_FIND_NS) : 0;
  if (ask && may_ask < m->ask_at) m->ask_at = may_ask > now ? may_ask : now;
  if (moved) {
    look_at_interfaces(m);
    for (size_t i = 0; i < m->n_ifaces; i++) {
      m->ifaces[i].announces = ANNOUNCED;
      m->ifaces[i].answer_at = soon(m, &m->ifaces[i], now);
    }
  }
  return !stop;
}

static uint64_t next_time(const msub__mdns *m, bool full) {
  uint64_t at = full ? msub__sooner(msub__deadline(m->budget.since, MSUB__S), m->ask_at) : m->ask_at;
  for (size_t i = 0; i < m->n_ifaces; i++) at = msub__sooner(at, msub__sooner(m->ifaces[i].answer_at, m->ifaces[i].services_at));
  return at;
}

static void *run(void *arg) {
  msub__mdns *m = arg;
  for (;;) {
    uint64_t now = mono();
    if (!orders(m, now)) break;
    ask_due(m, now);
    answer_due(m, now);
    bool full = !msub__mdns_budget_has(&m->budget, now, false);
    uint64_t until = next_time(m, full), left = until > now ? (until - now + MSUB__MS - 1) / MSUB__MS : 0;
    struct pollfd fds[2 + MSUB__HOST_MDNS_INTERFACES] = { { .fd = m->wake_fd[0], .events = POLLIN }, { .fd = full ? -1 : m->fd, .events = POLLIN } };
    for (size_t i = 0; i < m->n_ifaces; i++) fds[2 + i] = (struct pollfd){ .fd = full ? -1 : m->ifaces[i].fd6, .events = POLLIN };
    int n = poll(fds, 2 + m->n_ifaces, left > 60000 ? 60000 : (int)left);
    uint8_t byte[64];
    if (n > 0 && fds[0].revents) while (read(m->wake_fd[0], byte, sizeof byte) > 0) {}
    if (n > 0 && fds[1].revents) receive(m, m->fd, 0, mono());
    for (size_t i = 0; n > 0 && i < m->n_ifaces; i++)
      if (fds[2 + i].revents) receive(m, m->ifaces[i].fd6, m->ifaces[i].index, mono());
  }
  for (size_t i = 0; i < m->n_ifaces; i++) (void)answer_on(m, &m->ifaces[i], 0);
  return NULL;
}

/* ---- on the loop ---- */

static void nudge(const msub__mdns *m) {
  ssize_t n = write(m->wake_fd[1], "", 1); /* full: it will look anyway */
  (void)n;
}

void msub__mdns_listen(msub__mdns *m, const msub__tr_addr *at, size_t n) {
  (void)pthread_mutex_lock(&m->lock);
  if (n > 0) memcpy(m->at, at, n * sizeof *at);
  m->n_at = n;
  m->moved = true;
  (void)pthread_mutex_unlock(&m->lock);
  nudge(m);
}

void msub__mdns_ask(msub__mdns *m) {
  (void)pthread_mutex_lock(&m->lock);
  m->ask = true;
  (void)pthread_mutex_unlock(&m->lock);
  nudge(m);
}

bool msub__mdns_news(msub__mdns *m) { return atomic_load_explicit(&m->news, memory_order_relaxed) && atomic_exchange(&m->news, false); }

bool msub__mdns_take(msub__mdns *m, msub__mdns_place *out, msub__tr_addr *sender) {
  (void)pthread_mutex_lock(&m->lock);
  bool any = m->queued > 0;
  if (any) {
    *out = m->queue[m->first].place;
    *sender = m->queue[m->first].sender;
    m->first = (m->first + 1) % MSUB__HOST_MDNS_QUEUED;
    m->queued--;
  }
  (void)pthread_mutex_unlock(&m->lock);
  return any;
}

void msub__mdns_count(msub__mdns *m, msub__mdns_counts *out) {
  (void)pthread_mutex_lock(&m->lock);
  *out = m->counts;
  (void)pthread_mutex_unlock(&m->lock);
}

/* Others on this machine listen there too (avahi-daemon, other nodes), so the port is shared; bound to the group, nothing else comes in. */
static int udp_socket(int domain) {
  int one = 1, fd = socket(domain, SOCK_DGRAM, 0);
  if (fd < 0) return -1;
  (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  (void)fcntl(fd, F_SETFL, O_NONBLOCK);
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* without it the port is not to be had */
#ifdef SO_REUSEPORT
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
#endif
  return fd;
}
static int bound(int fd, bool ok, const void *at, socklen_t n) {
  if (ok && bind(fd, at, n) == 0) return fd;
  int saved = errno;
  (void)close(fd);
  errno = saved;
  return -1;
}

static int open_four(void) {
  int one = 1, fd = udp_socket(AF_INET);
  unsigned char ttl = 255;
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(GROUP) };
  if (fd < 0) return -1;
  bool ok = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) == 0 && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl) == 0;
  return bound(fd, ok, &at, sizeof at);
}

/* -1: not on this one. */
static int open_six(unsigned index) {
  int one = 1, hops = 255, on = (int)index, fd = udp_socket(AF_INET6);
  struct ipv6_mreq q = { .ipv6mr_multiaddr = group6, .ipv6mr_interface = index };
  struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = group6, .sin6_scope_id = index };
  if (fd < 0) return -1;
  bool ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) == 0 &&
            setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &on, sizeof on) == 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &q, sizeof q) == 0;
  return bound(fd, ok, &at, sizeof at);
}

static bool start(msub__mdns *m) { /* signals are the program's business */
  sigset_t all, before;
  (void)sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
  bool ok = pthread_create(&m->thread, NULL, run, m) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return ok;
}

static void release(msub__mdns *m) {
  for (unsigned i = 0; i < 2; i++)
    if (m->wake_fd[i] >= 0) (void)close(m->wake_fd[i]);
  if (m->fd >= 0) (void)close(m->fd);
  for (size_t i = 0; i < m->n_ifaces; i++) close_six(&m->ifaces[i]);
  (void)pthread_mutex_destroy(&m->lock);
  free(m);
}

int msub__mdns_new(msub_bytes self, void (*wake)(void *ud), void *wake_ud, msub__mdns **out, const char **why) {
  uint8_t random[MSUB__MDNS_LABEL];
  uint64_t seed;
  msub__mdns *m = calloc(1, sizeof *m);
  *why = "out of memory";
  if (!m) return MSUB_ERR_NOMEM;
  (void)pthread_mutex_init(&m->lock, NULL);
  m->wake = wake;
  m->wake_ud = wake_ud;
  m->self.n = (uint8_t)self.n;
  memcpy(m->self.bytes, self.p, self.n);
  m->pause = MSUB__HOST_MDNS_ASK_NS;
  m->wake_fd[0] = m->wake_fd[1] = m->fd = -1;
  *why = "mdns: no random source";
  int err = msub__random(random, sizeof random);
  if (err == MSUB_OK) err = msub__random((uint8_t *)&seed, sizeof seed);
  if (err == MSUB_OK) {
    msub__mdns_label_make(random, &m->label);
    msub__rng_init(&m->rng, seed, 1);
    *why = "mdns: no pipe";
    err = pipe(m->wake_fd) == 0 ? MSUB_OK : MSUB_ERR_IO;
  }
  for (unsigned i = 0; err == MSUB_OK && i < 2; i++) {
    (void)fcntl(m->wake_fd[i], F_SETFD, FD_CLOEXEC);
    (void)fcntl(m->wake_fd[i], F_SETFL, O_NONBLOCK);
  }
  if (err == MSUB_OK && (m->fd = open_four()) < 0) {
    *why = errno == EADDRINUSE ? "mdns: another program has port 5353 for itself" : "mdns: no socket on port 5353";
    err = MSUB_ERR_IO;
  }
  if (err == MSUB_OK && !start(m)) {
    *why = "mdns: no thread";
    err = MSUB_ERR_IO;
  }
  if (err != MSUB_OK) release(m);
  else *out = m, *why = NULL;
  return err;
}

void msub__mdns_free(msub__mdns *m) {
  if (!m) return;
  (void)pthread_mutex_lock(&m->lock);
  m->stop = true;
  (void)pthread_mutex_unlock(&m->lock);
  nudge(m);
  (void)pthread_join(m->thread, NULL);
  release(m);
}
