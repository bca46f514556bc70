/* Relays, publishing with conditions, counted outcomes, waiting for peers, batches. Against the in-memory world. */
#include "engine_world.h"
#include "meshsub/gossipsub.h"
#include "meshsub/publish.h"
#include "pubsub/limits.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SEC 1000000000ull

static world w;
static void begin(const msub_router_ops *router) { world_start_plain(&w, router); }
static int receive(msub_session s, const char *topic, const char *data) { return world_plain(&w, s, topic, data); }
static void pass(uint64_t ns) { world_pass(&w, ns); }
static const msub_bytes none;

/* Subscriptions sent to a peer: the balance of on and off for a topic. */
static int announced(uint64_t link, const char *topic) {
  int n = 0;
  for (size_t i = 0; i < w.n_sent; i++) {
    msub_rpc_iter it;
    msub_rpc_part part;
    if (w.sent[i].link != link) continue;
    msub_rpc_begin(&it, (msub_bytes){ w.sent[i].rpc, w.sent[i].n });
    while (msub_rpc_next(&it, &part) != MSUB_P_END)
      if (part.kind == MSUB_P_SUBSCRIPTION && msub_bytes_eq(part.topic, msub_str(topic))) n += part.subscribe ? 1 : -1;
  }
  return n;
}
/* The data of the i-th message that was sent, and to whom. */
static bool sent_message(size_t i, msub_bytes *data, uint64_t *link) {
  for (size_t k = 0; k < w.n_sent; k++) {
    msub_rpc_iter it;
    msub_rpc_part part;
    msub_rpc_begin(&it, (msub_bytes){ w.sent[k].rpc, w.sent[k].n });
    while (msub_rpc_next(&it, &part) != MSUB_P_END)
      if (part.kind == MSUB_P_MESSAGE && i-- == 0) {
        *data = part.msg.data;
        *link = w.sent[k].link;
        return true;
      }
  }
  return false;
}
static size_t messages_to(uint64_t link, const char *text) {
  msub_bytes data;
  uint64_t to;
  size_t n = 0;
  for (size_t i = 0; sent_message(i, &data, &to); i++) n += (link == 0 || to == link) && (!text || msub_bytes_eq(data, msub_str(text)));
  return n;
}
static const msub_published *told(size_t i) {
  cr_assert_lt(i, w.n_published);
  return &w.published[i].p;
}

/* ---- relays ---- */

static msub_topic relay(const char *name) {
  msub_topic t = { 0 };
  cr_assert_eq(msub_relay(w.e, 0, msub_str(name), &world_data_ids, NULL, &w.now, &t), MSUB_OK);
  return t;
}

Test(publish, relay) {
  begin(NULL);
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3);
  msub_topic t = relay("t"), list[4];
  cr_assert(announced(2, "t") == 1 && announced(3, "t") == 1, "announced like a joined topic");
  cr_assert_eq(msub_joined(w.e, list, 4), 0, "but the program did not join");
  world_subscribe(&w, b, "t", true);
  cr_assert(w.n_peer_events == 1 && msub_topic_peers(w.e, t) == 1);
  receive(a, "t", "one");
  cr_assert(w.n_delivered == 0 && messages_to(3, "one") == 1, "forwarded, not delivered");
  receive(a, "t", "one");
  cr_assert_eq(msub_count(w.e)->duplicates, 1);

  /* An own publish goes out as well. */
  cr_assert_eq(msub_publish(w.e, t, msub_str("own"), &w.now, NULL), MSUB_OK);
  cr_assert(messages_to(3, "own") == 1 && w.n_delivered == 0);

  /* Counted: three calls need three. */
  cr_assert(relay("t").v == t.v && relay("t").v == t.v);
  cr_assert_eq(announced(2, "t"), 1, "told once");
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_ERR_STALE, "a relay is not left");
  cr_assert_eq(msub_unrelay(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(msub_unrelay(w.e, t, &w.now), MSUB_OK);
  receive(a, "t", "still");
  cr_assert_eq(messages_to(3, "still"), 1);
  cr_assert_eq(announced(2, "t"), 1);

  /* Beside a join: the program gets them as long as it stays. */
  msub_topic j = world_join(&w, "t", NULL);
  cr_assert(j.v == t.v && msub_joined(w.e, list, 4) == 1 && announced(2, "t") == 1);
  receive(a, "t", "heard");
  cr_assert(w.n_delivered == 1);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_ERR_STALE);
  receive(a, "t", "unheard");
  cr_assert(w.n_delivered == 1 && messages_to(3, "unheard") == 1 && announced(2, "t") == 1);

  cr_assert_eq(msub_unrelay(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(announced(2, "t"), 0, "the last one tells");
  cr_assert_eq(msub_unrelay(w.e, t, &w.now), MSUB_ERR_STALE, "ending it twice does no harm");
  receive(a, "t", "late");
  cr_assert(messages_to(3, "late") == 0 && msub_count(w.e)->unwanted == 1);
  cr_assert_eq(msub_publish(w.e, t, msub_str("x"), &w.now, NULL), MSUB_ERR_STALE);
  world_stop(&w);
}

/* The newest message that a program had no room for is not kept for a program that has left. */
Test(publish, relay_keeps_nothing) {
  static msub_channel_policy p;
  p = world_data_ids;
  p.full = MSUB_FULL_LATEST;
  begin(NULL);
  msub_session a = world_peer(&w, 2);
  msub_topic t = world_join(&w, "t", &p);
  cr_assert(relay("t").v == t.v);
  w.full = true;
  receive(a, "t", "kept");
  w.full = false;
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(msub_redeliver(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(w.n_delivered, 0);
  world_stop(&w);
}

static void in_deliver(world *x, const msub_msg *m) {
  (void)m;
  static msub_topic r;
  switch (x->n_delivered) {
  case 1: cr_assert_eq(msub_relay(x->e, 0, msub_str("r"), &world_data_ids, NULL, NULL, &r), MSUB_OK); break;
  case 2: cr_assert_eq(msub_unrelay(x->e, r, NULL), MSUB_OK); break;
  default: break;
  }
}
Test(publish, relay_from_a_callback) {
  begin(NULL);
  msub_session a = world_peer(&w, 2);
  world_join(&w, "t", &world_data_ids);
  w.on_deliver = in_deliver;
  receive(a, "t", "begin");
  cr_assert_eq(announced(2, "r"), 1);
  receive(a, "t", "end");
  cr_assert_eq(announced(2, "r"), 0);
  cr_assert_eq(msub_relay(w.e, 0, msub_str("r"), NULL, NULL, NULL, &(msub_topic){ 0 }), MSUB_ERR_STATE, "not from outside without a time");
  world_stop(&w);
}

/* ---- outcomes ---- */

Test(publish, outcomes) {
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_published p;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("alone"), NULL, &w.now, &p), MSUB_OK);
  cr_assert(p.err == MSUB_OK && p.recipients == 0 && p.reach == MSUB_REACH_NO_PEERS && p.topic.v == t.v && p.ticket.v);
  cr_assert(msub_bytes_eq(p.id, msub_str("alone")));
  cr_assert(w.n_published == 1 && told(0)->ticket.v == p.ticket.v && told(0)->reach == p.reach && w.n_results == 1);

  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3);
  world_subscribe(&w, a, "t", true);
  world_subscribe(&w, b, "t", true);
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("two"), NULL, &w.now, &p), MSUB_OK);
  cr_assert(p.recipients == 2 && p.refused == 0 && p.reach == MSUB_REACH_PEERS);
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("two"), NULL, &w.now, &p), MSUB_OK);
  cr_assert(p.recipients == 0 && p.reach == MSUB_REACH_PUBLISHED_BEFORE && msub_bytes_eq(p.id, msub_str("two")));
  w.refuse = true;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("full"), NULL, &w.now, &p), MSUB_OK);
  cr_assert(p.recipients == 0 && p.refused == 2 && p.reach == MSUB_REACH_QUEUES_FULL);
  w.refuse = false;
  w.no_room = true;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("no room"), NULL, &w.now, &p), MSUB_ERR_LIMIT);
  cr_assert(p.err == MSUB_ERR_LIMIT && p.reach == MSUB_REACH_NOT_PUBLISHED && p.id.n == 0);

  /* For this node only: no peer, no question of room, no gossip. */
  msub_publish_opts o;
  msub_publish_opts_init(&o);
  o.local_only = true;
  size_t heard = w.n_delivered, sent = w.n_sent;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("home"), &o, &w.now, &p), MSUB_OK);
  cr_assert(p.reach == MSUB_REACH_LOCAL_ONLY && w.n_delivered == heard + 1 && w.n_sent == sent);
  w.no_room = false;

  /* msub_publish() tells the same. */
  msub_token ticket;
  cr_assert_eq(msub_publish(w.e, t, msub_str("plain"), &w.now, &ticket), MSUB_OK);
  cr_assert(told(w.n_published - 1)->ticket.v == ticket.v && told(w.n_published - 1)->recipients == 2);

  o.size--;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("x"), &o, &w.now, &p), MSUB_ERR_INVAL);
  cr_assert_eq(msub_publish_with(w.e, (msub_topic){ 0 }, msub_str("x"), NULL, &w.now, &p), MSUB_ERR_STALE);
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("x"), NULL, NULL, &p), MSUB_ERR_STATE);
  for (int i = -1; i <= MSUB_REACHES; i++) cr_assert(msub_reach_text(i) && *msub_reach_text(i));
  world_stop(&w);
}

static struct { msub_token token; msub_verdict v; } val;
static msub_verdict validate(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  (void)ud, (void)m, (void)from, (void)job;
  val.token = token;
  return val.v;
}
Test(publish, outcomes_of_validators) {
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 2);
  world_subscribe(&w, a, "t", true);
  cr_assert_eq(msub_validator(w.e, t, validate, NULL), MSUB_OK);
  msub_published p;
  val.v = MSUB_REJECT;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("no"), NULL, &w.now, &p), MSUB_ERR_REFUSED);
  cr_assert(p.err == MSUB_ERR_REFUSED && p.reach == MSUB_REACH_NOT_PUBLISHED && msub_bytes_eq(p.id, msub_str("no")));
  val.v = MSUB_PENDING;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("later"), NULL, &w.now, &p), MSUB_MORE);
  size_t before = w.n_published;
  cr_assert_eq(msub_complete(w.e, val.token, MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert(w.n_published == before + 1 && told(before)->ticket.v == p.ticket.v && told(before)->recipients == 1);

  /* Copies that come meanwhile change nothing. */
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("same"), NULL, &w.now, &p), MSUB_MORE);
  msub_token mine = val.token;
  receive(a, "t", "same");
  cr_assert_eq(msub_count(w.e)->copies_pending, 1);
  cr_assert_eq(msub_complete(w.e, mine, MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert(told(w.n_published - 1)->recipients == 1 && told(w.n_published - 1)->ticket.v == p.ticket.v);
  world_stop(&w);
}

Test(publish, nobody_is_chosen) {
  static msub_gossipsub_opts o;
  msub_gossipsub_opts_init(&o);
  o.mesh.flood_publish = false;
  world_init(&w, 1);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.router_opts = &o;
  world_start(&w, &msub_gossipsub);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  world_subscribe(&w, world_peer(&w, 2), "t", true);
  msub_published p;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("x"), NULL, &w.now, &p), MSUB_OK);
  cr_assert_eq(p.reach, MSUB_REACH_NOT_CHOSEN, "the mesh is empty before the first heartbeat");
  world_stop(&w);
}

/* ---- readiness ---- */

Test(publish, waits_for_peers) {
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3);
  msub_publish_opts o;
  msub_publish_opts_init(&o);
  msub_published p;
  o.min_peers = 2;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("now"), &o, &w.now, &p), MSUB_ERR_TIMEOUT);
  cr_assert(p.err == MSUB_ERR_TIMEOUT && w.n_published == 0 && w.n_delivered == 0);
  o.wait_ns = 5 * SEC;
  char text[] = "soon";
  cr_assert_eq(msub_publish_with(w.e, t, msub_str(text), &o, &w.now, &p), MSUB_MORE);
  memset(text, 'x', 4); /* it was copied */
  world_subscribe(&w, a, "t", true);
  cr_assert(w.n_published == 0 && w.n_delivered == 0, "one is not two");
  world_subscribe(&w, b, "t", true);
  cr_assert(w.n_published == 1 && told(0)->recipients == 2 && told(0)->ticket.v == p.ticket.v && messages_to(0, "soon") == 2);

  /* The deadline, exactly; then, if it may be, all the same. */
  o.min_peers = 3;
  uint64_t at = w.now.mono_ns + o.wait_ns;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("too few"), &o, &w.now, &p), MSUB_MORE);
  cr_assert_eq(msub_next_deadline(w.e), at);
  pass(o.wait_ns - 1);
  cr_assert_eq(w.n_published, 1);
  pass(1);
  cr_assert(w.n_published == 2 && told(1)->err == MSUB_ERR_TIMEOUT && told(1)->reach == MSUB_REACH_NOT_PUBLISHED && messages_to(0, "too few") == 0);
  cr_assert_eq(w.results[w.n_results - 1].err, MSUB_ERR_TIMEOUT);
  o.anyway = true;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("anyway"), &o, &w.now, &p), MSUB_MORE);
  pass(o.wait_ns);
  cr_assert(w.n_published == 3 && told(2)->err == MSUB_OK && told(2)->recipients == 2);
  o.wait_ns = 0;
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("at once"), &o, &w.now, &p), MSUB_OK);
  cr_assert_eq(p.recipients, 2);

  /* One that is too large for the topic is told when its turn comes; a cancelled one is not told. */
  static uint8_t large[1 << 20];
  o.wait_ns = SEC;
  cr_assert_eq(msub_publish_with(w.e, t, (msub_bytes){ large, sizeof large }, &o, &w.now, &p), MSUB_MORE);
  size_t before = w.n_published;
  pass(SEC);
  cr_assert(w.n_published == before + 1 && told(before)->err == MSUB_ERR_LIMIT);
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("never"), &o, &w.now, &p), MSUB_MORE);
  cr_assert_eq(msub_cancel(w.e, p.ticket), MSUB_OK);
  cr_assert_eq(msub_cancel(w.e, p.ticket), MSUB_ERR_NOTFOUND);
  pass(2 * SEC);
  cr_assert_eq(w.n_published, before + 1);

  /* The topic is left while something waits. */
  cr_assert_eq(msub_publish_with(w.e, t, msub_str("left"), &o, &w.now, &p), MSUB_MORE);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert(told(before + 1)->err == MSUB_ERR_STALE && told(before + 1)->ticket.v == p.ticket.v);
  world_stop(&w);
}

/* MinTopicSize of a gossipsub topic counts the mesh: the heartbeat brings it about. */
Test(publish, waits_for_the_mesh) {
  static msub_gossipsub_opts o;
  msub_gossipsub_opts_init(&o);
  world_init(&w, 1);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.router_opts = &o;
  world_start(&w, &msub_gossipsub);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_token ticket;
  cr_assert_eq(msub_await(w.e, t, 3, 10 * SEC, &w.now, &ticket), MSUB_OK);
  for (uint8_t i = 2; i < 5; i++) {
    msub_session s = world_peer(&w, i);
    world_subscribe(&w, s, "t", true);
    cr_assert_eq(msub_session_agreed(w.e, s, &w.now), MSUB_OK);
  }
  cr_assert_eq(w.n_published, 0);
  pass(SEC);
  cr_assert(w.n_published == 1 && told(0)->ticket.v == ticket.v && told(0)->err == MSUB_OK && told(0)->recipients == 3);
  cr_assert_eq(w.n_results, 0, "it is no publish");
  world_stop(&w);
}

static msub_token in_callback;
static void wait_in_deliver(world *x, const msub_msg *m) {
  (void)m;
  msub_topic t = msub_topic_named(x->e, 0, msub_str("t"));
  msub_published p;
  msub_publish_opts o;
  if (x->n_delivered != 1) return;
  msub_publish_opts_init(&o);
  o.min_peers = 1;
  cr_assert_eq(msub_await(x->e, t, 1, SEC, NULL, &in_callback), MSUB_OK);
  cr_assert_eq(msub_publish_with(x->e, t, msub_str("refused"), &o, NULL, &p), MSUB_OK);
  o.wait_ns = SEC;
  cr_assert_eq(msub_publish_with(x->e, t, msub_str("from inside"), &o, NULL, &p), MSUB_OK);
}
Test(publish, await) {
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_token x, y, z;
  cr_assert_eq(msub_await(w.e, t, 0, 0, &w.now, &x), MSUB_OK);
  cr_assert(w.n_published == 1 && told(0)->err == MSUB_OK && told(0)->recipients == 0);
  cr_assert_eq(msub_await(w.e, t, 1, 0, &w.now, &x), MSUB_OK);
  cr_assert(w.n_published == 2 && told(1)->err == MSUB_ERR_TIMEOUT && told(1)->ticket.v == x.v);
  cr_assert_eq(msub_await(w.e, t, 1, 3 * SEC, &w.now, &x), MSUB_OK);
  cr_assert_eq(msub_await(w.e, t, 1, 2 * SEC, &w.now, &y), MSUB_OK);
  pass(2 * SEC);
  cr_assert(w.n_published == 3 && told(2)->ticket.v == y.v && told(2)->err == MSUB_ERR_TIMEOUT);
  msub_session a = world_peer(&w, 2);
  world_subscribe(&w, a, "t", true);
  cr_assert(w.n_published == 4 && told(3)->ticket.v == x.v && told(3)->err == MSUB_OK && told(3)->recipients == 1);
  world_subscribe(&w, a, "t", false);
  cr_assert_eq(msub_await(w.e, (msub_topic){ 0 }, 1, 0, &w.now, &z), MSUB_ERR_STALE);
  cr_assert_eq(msub_await(w.e, t, 1, 0, NULL, &z), MSUB_ERR_STATE);

  /* From a callback. */
  w.on_deliver = wait_in_deliver;
  receive(a, "t", "now");
  cr_assert(w.n_published == 5 && told(4)->err == MSUB_ERR_TIMEOUT, "the one that does not wait");
  world_subscribe(&w, a, "t", true);
  cr_assert(w.n_published == 7 && told(5)->ticket.v == in_callback.v && told(6)->err == MSUB_OK && messages_to(2, "from inside") == 1);
  world_stop(&w);
}

/* Whoever is told may give up the others. */
static msub_token others[3];
static void (*tell_on)(void *, const msub_published *);
static void cancels(void *ud, const msub_published *p) {
  tell_on(ud, p);
  for (size_t i = 0; i < 3; i++) (void)msub_cancel(w.e, others[i]);
}
Test(publish, cancel_from_a_callback) {
  world_init(&w, 1);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  tell_on = w.ops.published;
  w.ops.published = cancels;
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  for (size_t i = 0; i < 3; i++) cr_assert_eq(msub_await(w.e, t, 1, SEC, &w.now, &others[i]), MSUB_OK);
  world_subscribe(&w, world_peer(&w, 2), "t", true);
  cr_assert(w.n_published == 1 && told(0)->ticket.v == others[0].v, "the first one was told, and ended the rest");
  cr_assert_eq(msub_next_deadline(w.e), MSUB_NEVER);
  world_stop(&w);
}

Test(publish, limits_of_waits) {
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_token x;
  for (uint32_t i = 0; i + 1 < MSUB__WAITS; i++) cr_assert_eq(msub_await(w.e, t, 9, SEC, &w.now, &x), MSUB_OK);
  cr_assert_eq(msub_await(w.e, t, 9, SEC, &w.now, &x), MSUB_OK, "at MSUB__WAITS");
  cr_assert_eq(msub_await(w.e, t, 9, SEC, &w.now, &x), MSUB_ERR_LIMIT);
  pass(SEC);
  cr_assert_eq(w.n_published, MSUB__WAITS);
  world_clear(&w);

  /* Bytes: 16 of 1 MiB minus one byte in the last, one more, then one too many. */
  static uint8_t data[1 << 20];
  msub_publish_opts o;
  msub_publish_opts_init(&o);
  o.min_peers = 9;
  o.wait_ns = SEC;
  msub_published out;
  size_t whole = MSUB__WAIT_BYTES / sizeof data;
  for (size_t i = 0; i < whole; i++)
    cr_assert_eq(msub_publish_with(w.e, t, (msub_bytes){ data, sizeof data - (i + 1 == whole) }, &o, &w.now, &out), MSUB_MORE);
  cr_assert_eq(msub_publish_with(w.e, t, (msub_bytes){ data, 2 }, &o, &w.now, &out), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_publish_with(w.e, t, (msub_bytes){ data, 1 }, &o, &w.now, &out), MSUB_MORE, "at MSUB__WAIT_BYTES");
  cr_assert_eq(msub_publish_with(w.e, t, (msub_bytes){ data, 1 }, &o, &w.now, &out), MSUB_ERR_LIMIT);
  world_stop(&w); /* what waits is freed */
}

/* ---- batches ---- */

static msub_batch *batch_of(msub_topic t, const char *const *texts, size_t n) {
  msub_batch *b;
  cr_assert_eq(msub_batch_new(w.e, &b), MSUB_OK);
  for (size_t i = 0; i < n; i++) cr_assert_eq(msub_batch_add(b, t, msub_str(texts[i]), NULL), MSUB_OK);
  return b;
}
static const char *const pieces[] = { "p0", "p1", "p2", "p3" };
#define PIECES 4u

Test(publish, batch_round_robin) {
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  for (uint8_t i = 2; i < 5; i++) world_subscribe(&w, world_peer(&w, i), "t", true);
  msub_batch *b = batch_of(t, pieces, PIECES);
  cr_assert(msub_batch_count(b) == PIECES && !msub_batch_result(b, 0) && w.n_delivered == 0, "adding does nothing yet");
  cr_assert_eq(msub_batch_publish(b, NULL, NULL, &w.now), MSUB_OK);
  cr_assert(w.n_delivered == PIECES && w.n_published == PIECES && w.n_results == PIECES);
  /* Every message once before any a second time; and each round begins with another peer. */
  msub_bytes data;
  uint64_t link, first[PIECES] = { 0 };
  for (size_t i = 0; sent_message(i, &data, &link); i++) {
    cr_assert(msub_bytes_eq(data, msub_str(pieces[i % PIECES])), "copy %zu is %.*s", i, (int)data.n, (const char *)data.p);
    if (i < PIECES) first[i] = link;
  }
  cr_assert(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
  cr_assert_eq(messages_to(0, NULL), 3 * PIECES);
  for (size_t i = 0; i < PIECES; i++) {
    const msub_published *p = msub_batch_result(b, i);
    cr_assert(p && p->err == MSUB_OK && p->recipients == 3 && p->refused == 0 && p->reach == MSUB_REACH_PEERS);
    cr_assert(msub_bytes_eq(p->id, msub_str(pieces[i])) && told(i)->ticket.v == p->ticket.v && told(i)->recipients == 3);
    for (uint64_t l = 2; l < 5; l++) cr_assert_eq(messages_to(l, pieces[i]), 1);
  }
  cr_assert(!msub_batch_result(b, PIECES));
  cr_assert_eq(msub_batch_publish(b, NULL, NULL, &w.now), MSUB_ERR_STATE);
  cr_assert_eq(msub_batch_add(b, t, msub_str("x"), NULL), MSUB_ERR_STATE);
  cr_assert_eq(msub_batch_free(b), MSUB_OK);
  cr_assert_eq(msub_batch_free(NULL), MSUB_OK);

  /* The other order, and outcomes that differ: a repetition, and no room in the queues. */
  world_clear(&w);
  static const char *const more[] = { "p0", "q1", "q2" };
  b = batch_of(t, more, 3);
  cr_assert_eq(msub_batch_publish(b, &msub_in_order, NULL, &w.now), MSUB_OK);
  cr_assert_eq(msub_batch_result(b, 0)->reach, MSUB_REACH_PUBLISHED_BEFORE);
  for (size_t i = 0; sent_message(i, &data, &link); i++) cr_assert(msub_bytes_eq(data, msub_str(more[1 + i / 3])));
  cr_assert(messages_to(0, NULL) == 6 && w.n_published == 3);
  cr_assert_eq(msub_batch_free(b), MSUB_OK);
  static const char *const last[] = { "r0", "r1" };
  b = batch_of(t, last, 2);
  w.no_room = true;
  cr_assert_eq(msub_batch_publish(b, NULL, NULL, &w.now), MSUB_ERR_LIMIT);
  cr_assert(!msub_batch_result(b, 0) && w.n_published == 3, "nothing was done");
  w.no_room = false;
  w.refuse = true;
  cr_assert_eq(msub_batch_publish(b, NULL, NULL, &w.now), MSUB_OK);
  cr_assert(msub_batch_result(b, 1)->refused == 3 && msub_batch_result(b, 1)->reach == MSUB_REACH_QUEUES_FULL);
  w.refuse = false;
  world_stop(&w); /* the batch dies with its engine */
}

/* The property that the reference's test of its scheduler asserts, over many shapes. */
Test(publish, RoundRobin_is_a_fair_permutation) {
  uint32_t x = 12345;
  for (unsigned round = 0; round < 300; round++) {
    msub_batch_send s[512];
    uint32_t order[512], n = 0, messages = 1 + round % 20, sent[32] = { 0 }, copies[32];
    for (uint32_t m = 0; m < messages; m++) {
      x = x * 1664525u + 1013904223u;
      copies[m] = 1 + (x >> 16) % 20;
      for (uint32_t c = 0; c < copies[m]; c++) s[n++] = (msub_batch_send){ .message = m, .copy = c, .copies = copies[m], .bytes = 1 };
    }
    bool seen[512] = { false };
    cr_assert_eq(msub_round_robin.order(NULL, s, n, order), n);
    for (uint32_t i = 0; i < n; i++) {
      cr_assert(order[i] < n && !seen[order[i]]);
      seen[order[i]] = true;
      uint32_t m = s[order[i]].message;
      for (uint32_t k = 0; k < messages; k++) /* nobody with copies left is behind */
        cr_assert(k == m || sent[k] == copies[k] || sent[k] >= sent[m], "message %u has its copy %u before %u its %u", m, sent[m], k, sent[k]);
      sent[m]++;
    }
  }
}

static size_t nonsense(void *ud, const msub_batch_send *s, size_t n, uint32_t *order) {
  (void)s;
  order[0] = 1;
  order[1] = 1;
  order[2] = UINT32_MAX;
  return *(int *)ud ? n + 1 : 3;
}
Test(publish, batch_of_a_bad_scheduler) {
  msub_scheduler bad = { .abi = MSUB_ABI, .size = sizeof bad, .name = "bad", .order = nonsense };
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  for (uint8_t i = 2; i < 5; i++) world_subscribe(&w, world_peer(&w, i), "t", true);
  for (int much = 0; much < 2; much++) {
    world_clear(&w);
    char text[2][8] = { "a0", "b0" };
    text[0][1] = text[1][1] = (char)('0' + much);
    msub_batch *b;
    cr_assert_eq(msub_batch_new(w.e, &b), MSUB_OK);
    for (size_t i = 0; i < 2; i++) cr_assert_eq(msub_batch_add(b, t, msub_str(text[i]), NULL), MSUB_OK);
    cr_assert_eq(msub_batch_publish(b, &bad, &much, &w.now), MSUB_OK);
    cr_assert(messages_to(0, NULL) == 6 && msub_count(w.e)->faults == 1u + (unsigned)much, "all copies go out, once");
    for (uint64_t l = 2; l < 5; l++) cr_assert(messages_to(l, text[0]) == 1 && messages_to(l, text[1]) == 1);
    cr_assert_eq(msub_batch_free(b), MSUB_OK);
  }
  msub_batch *b = batch_of(t, pieces, 1);
  bad.abi++;
  cr_assert_eq(msub_batch_publish(b, &bad, NULL, &w.now), MSUB_ERR_INVAL);
  world_stop(&w);
}

Test(publish, batch_and_validators) {
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids), other = world_join(&w, "u", &world_data_ids);
  world_subscribe(&w, world_peer(&w, 2), "t", true);
  cr_assert_eq(msub_validator(w.e, other, validate, NULL), MSUB_OK);
  msub_batch *b = batch_of(t, pieces, 1);
  val.v = MSUB_PENDING;
  msub_token tickets[2];
  cr_assert_eq(msub_batch_add(b, other, msub_str("slow"), &tickets[0]), MSUB_OK);
  cr_assert_eq(msub_batch_add(b, t, msub_str("after"), &tickets[1]), MSUB_OK);
  cr_assert_eq(msub_batch_publish(b, NULL, NULL, &w.now), MSUB_OK);
  cr_assert(msub_batch_result(b, 1)->err == MSUB_MORE && msub_batch_result(b, 2)->err == MSUB_OK && w.n_published == 2);
  cr_assert_eq(msub_batch_free(b), MSUB_OK);
  cr_assert_eq(msub_complete(w.e, val.token, MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert(w.n_published == 3 && told(2)->ticket.v == tickets[0].v && told(2)->reach == MSUB_REACH_NO_PEERS);
  val.v = MSUB_REJECT;
  b = batch_of(other, pieces, 1);
  cr_assert_eq(msub_batch_publish(b, NULL, NULL, &w.now), MSUB_OK);
  cr_assert_eq(msub_batch_result(b, 0)->err, MSUB_ERR_REFUSED);

  /* Its topic was left meanwhile. */
  msub_batch *late = batch_of(other, pieces, 1);
  cr_assert_eq(msub_leave(w.e, other, &w.now), MSUB_OK);
  cr_assert_eq(msub_batch_publish(late, NULL, NULL, &w.now), MSUB_OK);
  cr_assert(msub_batch_result(late, 0)->err == MSUB_ERR_STALE && told(w.n_published - 1)->err == MSUB_ERR_STALE);
  cr_assert_eq(msub_batch_add(b, other, msub_str("x"), NULL), MSUB_ERR_STATE);
  msub_batch *fresh = batch_of(t, pieces, 0);
  cr_assert_eq(msub_batch_add(fresh, other, msub_str("x"), NULL), MSUB_ERR_STALE);
  cr_assert_eq(msub_batch_publish(fresh, NULL, NULL, &w.now), MSUB_OK, "an empty one");
  world_stop(&w);
}

static msub_batch *inside;
static void batch_in_deliver(world *x, const msub_msg *m) {
  if (!msub_bytes_eq(msub_id(m), msub_str("go"))) return;
  msub_topic t = msub_topic_named(x->e, 0, msub_str("t"));
  cr_assert_eq(msub_batch_new(x->e, &inside), MSUB_OK);
  for (size_t i = 0; i < PIECES; i++) cr_assert_eq(msub_batch_add(inside, t, msub_str(pieces[i]), NULL), MSUB_OK);
  cr_assert_eq(msub_batch_publish(inside, NULL, NULL, NULL), MSUB_OK);
  cr_assert_eq(msub_batch_publish(inside, NULL, NULL, NULL), MSUB_ERR_STATE);
  cr_assert_eq(msub_batch_free(inside), MSUB_ERR_STATE);
  cr_assert_eq(msub_batch_add(inside, t, msub_str("x"), NULL), MSUB_ERR_STATE);
  cr_assert(x->n_published == 0, "not before the callback is over");
}
Test(publish, batch_from_a_callback) {
  begin(NULL);
  world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 2);
  world_subscribe(&w, a, "t", true);
  w.on_deliver = batch_in_deliver;
  receive(a, "t", "go");
  cr_assert(w.n_published == PIECES && messages_to(2, NULL) == PIECES && msub_batch_result(inside, 3)->recipients == 1);
  cr_assert_eq(msub_batch_publish(inside, NULL, NULL, NULL), MSUB_ERR_STATE);
  cr_assert_eq(msub_batch_free(inside), MSUB_OK);
  world_stop(&w);
}

/* A router's recipients in a batch are those that single publishes have. */
Test(publish, batch_with_gossipsub) {
  static msub_gossipsub_opts o;
  msub_gossipsub_opts_init(&o);
  world_init(&w, 1);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.router_opts = &o;
  world_start(&w, &msub_gossipsub);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  for (uint8_t i = 2; i < 12; i++) {
    msub_session s = world_peer(&w, i);
    world_subscribe(&w, s, "t", true);
    cr_assert_eq(msub_session_agreed(w.e, s, &w.now), MSUB_OK);
  }
  msub_batch *b;
  cr_assert_eq(msub_batch_new(w.e, &b), MSUB_OK);
  for (unsigned i = 0; i < 100; i++) {
    char text[8];
    (void)snprintf(text, sizeof text, "m%u", i);
    cr_assert_eq(msub_batch_add(b, t, msub_str(text), NULL), MSUB_OK);
  }
  cr_assert_eq(msub_batch_publish(b, NULL, NULL, &w.now), MSUB_OK);
  for (unsigned i = 0; i < 100; i++) cr_assert_eq(msub_batch_result(b, i)->recipients, 10);
  cr_assert_eq(messages_to(0, NULL), 1000);
  world_stop(&w);
}

Test(publish, limits_of_batches) {
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_batch *b, *first = NULL, *extra;
  for (unsigned i = 0; i + 1 < MSUB__BATCHES; i++) {
    cr_assert_eq(msub_batch_new(w.e, &b), MSUB_OK);
    if (!first) first = b;
  }
  cr_assert_eq(msub_batch_new(w.e, &b), MSUB_OK, "at MSUB__BATCHES");
  cr_assert_eq(msub_batch_new(w.e, &extra), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_batch_free(first), MSUB_OK);
  cr_assert_eq(msub_batch_new(w.e, &extra), MSUB_OK);

  for (unsigned i = 0; i + 1 < MSUB__BATCH_MESSAGES; i++) cr_assert_eq(msub_batch_add(b, t, none, NULL), MSUB_OK);
  cr_assert_eq(msub_batch_add(b, t, none, NULL), MSUB_OK, "at MSUB__BATCH_MESSAGES");
  cr_assert_eq(msub_batch_add(b, t, none, NULL), MSUB_ERR_LIMIT);

  static uint8_t data[1 << 20];
  size_t whole = MSUB__BATCH_BYTES / sizeof data;
  for (size_t i = 0; i < whole; i++)
    cr_assert_eq(msub_batch_add(extra, t, (msub_bytes){ data, sizeof data - (i + 1 == whole) }, NULL), MSUB_OK);
  cr_assert_eq(msub_batch_add(extra, t, (msub_bytes){ data, 2 }, NULL), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_batch_add(extra, t, (msub_bytes){ data, 1 }, NULL), MSUB_OK, "at MSUB__BATCH_BYTES");
  cr_assert_eq(msub_batch_add(extra, t, (msub_bytes){ data, 1 }, NULL), MSUB_ERR_LIMIT);
  world_stop(&w);
}

/* More copies than are ordered at a time: MSUB__BATCH_SENDS, minus one message, exactly, and one message more. */
static size_t asked[8], n_asked;
static size_t counts_calls(void *ud, const msub_batch_send *s, size_t n, uint32_t *order) {
  (void)ud, (void)s, (void)order;
  asked[n_asked++] = n;
  return 0;
}
static int takes(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  (void)ud, (void)link, (void)s, (void)rpc, (void)lane;
  return MSUB_OK;
}
Test(publish, limits_of_copies) {
  const msub_scheduler s = { .abi = MSUB_ABI, .size = sizeof s, .name = "counts", .order = counts_calls };
  const uint32_t peers = 64, fit = MSUB__BATCH_SENDS / 64;
  world_init(&w, 1);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.ops.send = takes;
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  for (uint32_t i = 0; i < peers; i++) world_subscribe(&w, world_peer(&w, (uint8_t)(2 + i)), "t", true);
  for (uint32_t more = 0; more < 3; more++) {
    msub_batch *b;
    uint32_t n = fit - 1 + more;
    n_asked = 0;
    cr_assert_eq(msub_batch_new(w.e, &b), MSUB_OK);
    for (uint32_t i = 0; i < n; i++) {
      char text[16];
      (void)snprintf(text, sizeof text, "%u-%u", more, i);
      cr_assert_eq(msub_batch_add(b, t, msub_str(text), NULL), MSUB_OK);
    }
    cr_assert_eq(msub_batch_publish(b, &s, NULL, &w.now), MSUB_OK);
    cr_assert_eq(n_asked, more < 2 ? 1 : 2);
    cr_assert_eq(asked[0], more < 2 ? n * peers : MSUB__BATCH_SENDS);
    for (uint32_t i = 0; i < n; i++) cr_assert_eq(msub_batch_result(b, i)->recipients, peers);
    cr_assert_eq(msub_batch_free(b), MSUB_OK);
    world_clear(&w);
  }
  world_stop(&w);
}

/* No memory at any point: nothing is lost that was accepted, nothing leaks. */
Test(publish, without_memory) {
  for (size_t fail = 1; fail < 60; fail++) {
    begin(NULL);
    msub_topic t = world_join(&w, "t", &world_data_ids);
    world_subscribe(&w, world_peer(&w, 2), "t", true);
    msub_publish_opts o;
    msub_publish_opts_init(&o);
    o.min_peers = 9;
    o.wait_ns = SEC;
    msub_published p;
    msub_batch *b = NULL;
    w.mem.fail_after = fail;
    int rc = msub_publish_with(w.e, t, msub_str("wait"), &o, &w.now, &p);
    cr_assert(rc == MSUB_MORE || rc == MSUB_ERR_NOMEM);
    if (msub_batch_new(w.e, &b) == MSUB_OK) {
      size_t n = 0;
      for (size_t i = 0; i < PIECES; i++) n += msub_batch_add(b, t, msub_str(pieces[i]), NULL) == MSUB_OK;
      rc = msub_batch_publish(b, NULL, NULL, &w.now);
      w.mem.fail_after = 0;
      cr_assert(msub_batch_count(b) == n && (rc == MSUB_OK || rc == MSUB_ERR_NOMEM));
      size_t took = 0;
      for (size_t i = 0; rc == MSUB_OK && i < n; i++) took += msub_batch_result(b, i)->recipients;
      cr_assert_eq(messages_to(2, NULL), took);
    }
    w.mem.fail_after = 0;
    pass(2 * SEC);
    world_stop(&w);
  }
}
