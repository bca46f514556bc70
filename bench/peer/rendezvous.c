#include "bench/peer/peer.h"
#include <stdlib.h>
#include <string.h>

#define POINTS 8

/* cfg.rendezvous: {"points":[ADDR…],"prefix","ttl_s","find_ms"} to ask them, {"point":true,"min_ttl_s","max_ttl_s"} to be one. */

const char *rendezvous_read(rendezvous *r, const json_t *q, msub_discovery *d) {
  const json_t *cfg = json_object_get(q, "rendezvous"), *list = json_object_get(cfg, "points"), *each;
  msub_peer_id ids[POINTS];
  msub_bytes bytes[POINTS];
  size_t i;
  if (!cfg) return NULL;
  r->is_point = flag_of(cfg, "point", false);
  r->min_ttl_s = number_of(cfg, "min_ttl_s", 60);
  r->max_ttl_s = number_of(cfg, "max_ttl_s", 259200);
  if (json_array_size(list) > POINTS) return "rendezvous: at most 8 points";
  json_array_foreach(list, i, each) {
    if (!json_is_string(each) || !addr_peer(json_string_value(each), &ids[i])) return "rendezvous: points is not a list of multiaddresses with /p2p";
    bytes[i] = msub_peer_id_bytes(&ids[i]);
  }
  if (json_array_size(list) == 0) return NULL;
  msub_rendezvous_opts o;
  msub_rendezvous_opts_init(&o);
  o.points = bytes;
  o.n_points = json_array_size(list);
  o.prefix = text_of(cfg, "prefix", o.prefix);
  o.ttl_s = number_of(cfg, "ttl_s", o.ttl_s);
  o.find_ns = number_of(cfg, "find_ms", o.find_ns / 1000000) * 1000000;
  if (msub_rendezvous_new(&o, &r->meet) != MSUB_OK) return "rendezvous: a member is out of its range";
  *d = msub_rendezvous_discovery(r->meet);
  return NULL;
}

const char *rendezvous_start(rendezvous *r, msub_host *h) {
  int err = MSUB_OK;
  if (r->meet) err = msub_rendezvous_start(r->meet, msub_host_exchange(h), msub_host_peer_id(h), msub_host_record, h);
  if (err == MSUB_OK && r->is_point) {
    msub_rendezvous_point_opts o;
    msub_rendezvous_point_opts_init(&o);
    o.exchange = msub_host_exchange(h);
    o.ip = msub_host_peer_ip;
    o.ip_ud = h;
    o.min_ttl_s = r->min_ttl_s;
    o.max_ttl_s = r->max_ttl_s;
    err = msub_rendezvous_point_new(&o, &r->point);
  }
  return err == MSUB_OK ? NULL : "rendezvous: a member is out of its range";
}

uint64_t rendezvous_next(const rendezvous *r) { return r->meet ? msub_rendezvous_next(r->meet) : MSUB_NEVER; }

void rendezvous_turn(rendezvous *r) {
  if (r->meet) msub_rendezvous_turn(r->meet);
}

void rendezvous_clear(rendezvous *r) {
  (void)msub_rendezvous_free(r->meet);
  (void)msub_rendezvous_point_free(r->point);
  *r = (rendezvous){ 0 };
}

const char *rendezvous_counts(peer *p, const json_t *q, json_t *out) {
  (void)q;
  if (p->rendezvous.meet) {
    msub_rendezvous_counts c;
    json_t *j = json_object();
    msub_rendezvous_count(p->rendezvous.meet, &c);
#define MSUB_X(of) json_object_set_new(j, #of, json_integer((json_int_t)c.of));
    MSUB_RENDEZVOUS_COUNTS(MSUB_X)
#undef MSUB_X
    json_object_set_new(out, "meet", j);
  }
  if (p->rendezvous.point) {
    msub_rendezvous_point_counts c;
    json_t *j = json_object();
    msub_rendezvous_point_count(p->rendezvous.point, &c);
    json_object_set_new(j, "registrations", json_integer((json_int_t)c.registrations));
#define MSUB_X(of) json_object_set_new(j, #of, json_integer((json_int_t)c.of));
    MSUB_RENDEZVOUS_POINT_COUNTS(MSUB_X)
#undef MSUB_X
    json_object_set_new(out, "point", j);
  }
  return NULL;
}
