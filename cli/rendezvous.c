#include "cli/rendezvous.h"
#include <meshsub/rendezvous.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MAX 8 /* rendezvous.h */

struct rendezvous {
  msub_rendezvous *meet;
  msub_rendezvous_point *point;
};

/* The id behind /p2p/, in *binary; n == 0: there is none. */
static msub_bytes id_of(const char *addr, msub_multiaddr *binary) {
  msub_addr a;
  if (msub_multiaddr_parse(addr, binary) != MSUB_OK || msub_multiaddr_split((msub_bytes){ binary->bytes, binary->n }, &a) != MSUB_OK) return (msub_bytes){ NULL, 0 };
  return a.peer_id;
}

/* One of several addresses of a point. */
static size_t points(const text_list *addrs, msub_multiaddr *binaries, msub_bytes *ids) {
  size_t n = 0;
  for (size_t i = 0; i < addrs->n && n <= POINTS_MAX; i++) {
    size_t same = 0;
    ids[n] = id_of(addrs->v[i], &binaries[n]);
    while (same < n && !msub_bytes_eq(ids[same], ids[n])) same++;
    n += same == n;
  }
  return n;
}

int rendezvous_check(const node *n) {
  msub_multiaddr binaries[POINTS_MAX + 2];
  msub_bytes ids[POINTS_MAX + 2];
  for (size_t i = 0; i < n->rendezvous.n; i++)
    if (id_of(n->rendezvous.v[i], &binaries[0]).n == 0)
      return usage_error(n->cmd, "--rendezvous %s: no /p2p/ID at its end; a point is known by its id", quoted(n->rendezvous.v[i]));
  if (points(&n->rendezvous, binaries, ids) > POINTS_MAX) return usage_error(n->cmd, "--rendezvous: more than %d points", POINTS_MAX);
  return -1;
}

static int failed(const node *n, const char *option, int err) {
  say_error(n->cmd->program, "%s: %s", option, msub_err_text(err));
  return EXIT_FAILED;
}

int rendezvous_new(node *n, msub_host_opts *o) {
  msub_multiaddr binaries[POINTS_MAX + 2];
  msub_bytes ids[POINTS_MAX + 2];
  if (!n->rendezvous.n && !n->rendezvous_point) return -1;
  n->meeting = take(sizeof *n->meeting);
  *n->meeting = (rendezvous){ 0 };
  if (!n->rendezvous.n) return -1;
  msub_rendezvous_opts ro;
  msub_rendezvous_opts_init(&ro);
  ro.points = ids;
  ro.n_points = points(&n->rendezvous, binaries, ids);
  int err = msub_rendezvous_new(&ro, &n->meeting->meet);
  if (err != MSUB_OK) return failed(n, "--rendezvous", err);
  o->discovery = msub_rendezvous_discovery(n->meeting->meet);
  return -1;
}

int rendezvous_start(node *n) {
  int err = MSUB_OK;
  if (!n->meeting) return -1;
  if (n->meeting->meet) err = msub_rendezvous_start(n->meeting->meet, msub_host_exchange(n->host), msub_host_peer_id(n->host), msub_host_record, n->host);
  if (err != MSUB_OK) return failed(n, "--rendezvous", err);
  if (!n->rendezvous_point) return -1;
  msub_rendezvous_point_opts po;
  msub_rendezvous_point_opts_init(&po);
  po.exchange = msub_host_exchange(n->host);
  po.ip = msub_host_peer_ip;
  po.ip_ud = n->host;
  err = msub_rendezvous_point_new(&po, &n->meeting->point);
  return err == MSUB_OK ? -1 : failed(n, "--rendezvous-point", err);
}

uint64_t rendezvous_next(const rendezvous *r) { return r && r->meet ? msub_rendezvous_next(r->meet) : MSUB_NEVER; }

void rendezvous_turn(rendezvous *r) {
  if (r && r->meet) msub_rendezvous_turn(r->meet);
}

void rendezvous_metrics(const rendezvous *r, const msub_metrics_opts *o) {
  if (r && r->meet) {
    msub_rendezvous_counts c;
    msub_rendezvous_count(r->meet, &c);
#define MSUB_X(of) o->each(o->ud, &(msub_metric){ .name = "rendezvous_" #of "_total", .kind = MSUB_METRIC_COUNTER, .value = c.of });
    MSUB_RENDEZVOUS_COUNTS(MSUB_X)
#undef MSUB_X
  }
  if (r && r->point) {
    msub_rendezvous_point_counts c;
    msub_rendezvous_point_count(r->point, &c);
#define MSUB_X(of) o->each(o->ud, &(msub_metric){ .name = "rendezvous_point_" #of "_total", .kind = MSUB_METRIC_COUNTER, .value = c.of });
    MSUB_RENDEZVOUS_POINT_COUNTS(MSUB_X)
#undef MSUB_X
    o->each(o->ud, &(msub_metric){ .name = "rendezvous_point_registrations", .kind = MSUB_METRIC_GAUGE, .value = c.registrations });
  }
}

void rendezvous_free(rendezvous *r) {
  if (!r) return;
  (void)msub_rendezvous_free(r->meet);
  (void)msub_rendezvous_point_free(r->point);
  free(r);
}
