/* randomsub: who gets a message, how many of them, and when a publish is worth it. */
#include "engine_world.h"
#include "meshsub/randomsub.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define RANDOM "/randomsub/1.0.0"
#define FLOOD "/floodsub/1.0.0"
#define MOST 220u

static world w;
static uint8_t buf[4096];
static msub_session peer[MOST + 1]; /* by number, from 1 on: its link, too */
static uint32_t number;

static void start(const msub_randomsub_opts *o, uint64_t seed) {
  world_init(&w, 250);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.opts.seed = seed;
  w.router_opts = o;
  world_start(&w, &msub_randomsub);
}
static void up(uint32_t i, const char *protocol, const char *topic) {
  uint8_t id[6] = { 0, 4, 'p', 0, (uint8_t)(i >> 8), (uint8_t)i };
  msub_session_opts so = { .peer_id = { id, sizeof id }, .protocol = protocol, .link = i, .agreed = true };
  cr_assert_eq(msub_session_up(w.e, &so, &w.now, &peer[i]), MSUB_OK);
  if (topic) world_subscribe(&w, peer[i], topic, true);
}
static void crowd(uint32_t first, uint32_t n, const char *protocol) {
  for (uint32_t i = first; i < first + n; i++) up(i, protocol, "t");
}
/* Publishes; how many of the peers first … first + n - 1 got it, each at most once. */
static uint32_t sent(uint32_t first, uint32_t n, bool got[MOST + 1]) {
  uint32_t count = 0;
  memset(got, 0, (MOST + 1) * sizeof *got);
  for (size_t i = 0; i < w.n_sent; i++) {
    cr_assert(!got[w.sent[i].link]);
    got[w.sent[i].link] = true;
    count += w.sent[i].link >= first && w.sent[i].link < first + n;
  }
  return count;
}
static void publish(msub_topic t) {
  char text[16];
  snprintf(text, sizeof text, "own %u", number++);
  world_clear(&w);
  cr_assert_eq(msub_publish(w.e, t, msub_str(text), &w.now, NULL), MSUB_OK);
}
static void receive(uint32_t from) {
  char text[16];
  snprintf(text, sizeof text, "other %u", number++);
  world_clear(&w);
  size_t n = world_plain_rpc(buf, sizeof buf, "t", msub_str(text));
  cr_assert_eq(world_receive(&w, peer[from], (msub_bytes){ buf, n }), MSUB_OK);
}

Test(randomsub, options) {
  msub_randomsub_opts o;
  msub_randomsub_opts_init(&o);
  cr_assert(msub_randomsub_opts_fault(&o) == NULL && o.network == 36 && o.floodsub);
  o.size--;
  cr_assert(strstr(msub_randomsub_opts_fault(&o), "size"));
  static const uint8_t entropy[32] = { 1 };
  msub_shared *sh;
  const msub_plan *p;
  cr_assert_eq(msub_shared_new(NULL, entropy, &sh), MSUB_OK);
  cr_assert_eq(msub_plan_new(sh, &msub_randomsub, &o, &p), MSUB_ERR_INVAL);
  o.size++;
  o.floodsub = false;
  cr_assert_eq(msub_plan_new(sh, &msub_randomsub, &o, &p), MSUB_OK);
  cr_assert(strcmp(msub_plan_protocol(p, 0), RANDOM) == 0 && msub_plan_protocol(p, 1) == NULL);
  cr_assert_eq(msub_plan_new(sh, &msub_randomsub, NULL, &p), MSUB_OK);
  cr_assert(strcmp(msub_plan_protocol(p, 0), RANDOM) == 0 && strcmp(msub_plan_protocol(p, 1), FLOOD) == 0);
  cr_assert_eq(msub_shared_free(sh), MSUB_OK);
}

/* max(6, ceil(sqrt(network))), and no more than there are. */
Test(randomsub, how_many) {
  static const struct { uint32_t network, want; } table[] = {
    { 0, 6 }, { 1, 6 }, { 35, 6 }, { 36, 6 }, { 37, 7 }, { 49, 7 }, { 50, 8 }, { 64, 8 }, { 65, 9 }, { 100, 10 }, { 1000, 32 },
    { 1024, 32 }, { 1025, 33 }, { 9999, 100 }, { 10000, 100 }, { 10001, 101 }, { UINT32_MAX, 200 } };
  bool got[MOST + 1];
  for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
    msub_randomsub_opts o;
    msub_randomsub_opts_init(&o);
    o.network = table[k].network;
    start(&o, k);
    crowd(1, 200, RANDOM);
    msub_topic t = world_join(&w, "t", &world_data_ids);
    publish(t);
    cr_assert_eq(sent(1, 200, got), table[k].want, "%u: %zu", table[k].network, w.n_sent);
    receive(7);
    cr_assert_eq(sent(1, 200, got), table[k].want == 200 ? 199 : table[k].want);
    cr_assert(!got[7], "not back to where it came from");
    world_stop(&w);
  }
}

/* Below the number everybody gets it; floodsub peers do in any case, and take nobody's place. */
Test(randomsub, floodsub_peers_get_everything) {
  bool got[MOST + 1];
  start(NULL, 1);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  crowd(1, 6, RANDOM);
  publish(t);
  cr_assert_eq(sent(1, 6, got), 6);
  crowd(11, 9, FLOOD);
  publish(t);
  cr_assert(sent(1, 6, got) == 6 && sent(11, 9, got) == 9);
  crowd(31, 20, RANDOM);
  for (unsigned i = 0; i < 50; i++) {
    publish(t);
    cr_assert_eq(sent(11, 9, got), 9);
    cr_assert_eq(w.n_sent, 9 + 6);
    receive(11 + i % 9);
    cr_assert(sent(11, 9, got) == 8 && !got[11 + i % 9] && w.n_sent == 8 + 6);
    receive(31 + i % 20);
    cr_assert(sent(11, 9, got) == 9 && !got[31 + i % 20] && w.n_sent == 9 + 6);
  }
  world_subscribe(&w, peer[11], "t", false);
  up(60, FLOOD, "other");
  publish(t);
  cr_assert(sent(11, 9, got) == 8 && !got[11] && !got[60], "subscribers only");
  world_stop(&w);
}

/* Chosen anew for each message, everybody as often as the others, from the engine's seed. */
Test(randomsub, by_lot) {
  enum { PEERS = 20, MESSAGES = 1000 };
  bool got[MOST + 1];
  static bool first[MESSAGES][PEERS + 1];
  for (uint64_t round = 0; round < 3; round++) {
    unsigned times[PEERS + 1] = { 0 }, same = 0;
    number = 0;
    start(NULL, 1 + round / 2); /* 1 1 2 */
    msub_topic t = world_join(&w, "t", &world_data_ids);
    crowd(1, PEERS, RANDOM);
    for (unsigned i = 0; i < MESSAGES; i++) {
      publish(t);
      cr_assert_eq(sent(1, PEERS, got), 6);
      for (unsigned p = 1; p <= PEERS; p++) times[p] += got[p];
      if (round == 0) memcpy(first[i], got, sizeof first[i]);
      else same += memcmp(first[i], got, sizeof first[i]) == 0;
    }
    for (unsigned p = 1; p <= PEERS; p++) /* 300 expected, standard deviation 14.5 */
      cr_assert(times[p] > 220 && times[p] < 380, "peer %u: %u", p, times[p]);
    if (round == 1) cr_assert_eq(same, MESSAGES);
    if (round == 2) cr_assert_lt(same, 10);
    world_stop(&w);
  }
}

/* Signed: the author gets nothing back, and takes nobody's place. */
Test(randomsub, not_to_its_author) {
  bool got[MOST + 1];
  world_init(&w, 250);
  world_start(&w, &msub_randomsub);
  world_join(&w, "t", NULL);
  for (uint8_t i = 1; i <= 8; i++) {
    msub_peer_id id = world_peer_id(i);
    msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = i == 8 ? FLOOD : RANDOM, .link = i, .agreed = true };
    cr_assert_eq(msub_session_up(w.e, &so, &w.now, &peer[i]), MSUB_OK);
    world_subscribe(&w, peer[i], "t", true);
  }
  for (uint8_t author = 1; author <= 8; author++) {
    world_clear(&w);
    size_t n = world_signed_rpc(buf, sizeof buf, author, author, "t", msub_str("signed"));
    uint8_t by = author % 8 + 1;
    cr_assert_eq(world_receive(&w, peer[by], (msub_bytes){ buf, n }), MSUB_OK);
    world_run_jobs(&w);
    cr_assert_eq(sent(1, 8, got), 6, "all but the author and who sent it");
    cr_assert(!got[author] && !got[by]);
  }
  world_stop(&w);
}

/* An id that is offered and turns out not to be spoken: another kind of peer. */
Test(randomsub, agreed_later) {
  bool got[MOST + 1];
  start(NULL, 1);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  crowd(1, 12, RANDOM);
  for (uint32_t i = 1; i <= 4; i++) {
    cr_assert_eq(msub_session_offer(w.e, peer[i], FLOOD, i, &w.now), MSUB_OK);
    cr_assert_eq(msub_session_agreed(w.e, peer[i], &w.now), MSUB_OK);
  }
  for (unsigned i = 0; i < 20; i++) {
    publish(t);
    cr_assert(sent(1, 4, got) == 4 && w.n_sent == 10);
  }
  world_stop(&w);
}

Test(randomsub, ready) {
  start(NULL, 1);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  cr_assert(!msub_ready(w.e, t, 0) && !msub_ready(w.e, t, 1));
  for (uint32_t i = 1; i <= 20; i++) {
    up(i, i % 3 ? FLOOD : RANDOM, "t");
    uint32_t random = i / 3;
    for (uint32_t n = 0; n <= 25; n++)
      cr_assert_eq(msub_ready(w.e, t, n), i >= (n ? n : MSUB_RANDOMSUB_LEAST) || random >= MSUB_RANDOMSUB_LEAST, "%u of %u", n, i);
  }
  world_stop(&w);
}

/* Inside another router: one that leaves every operation out, and one that adds to the list. */
static int nest(msub_layout *l, const void *opts) { return msub_layout_nest(l, &msub_randomsub, opts); }
static const msub_router_ops silent = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "silent", .layout = nest };
static void outer_publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  msub_list_add(out, msub_r_link_session(r, t, 0)); /* what stands there already is left alone */
  size_t first = out->n;
  msub_x_publish(msub_r_inner(r), t, m, from, out);
  for (size_t i = first; i < out->n; i++)
    if (out->s[i].v == out->s[0].v) out->s[i] = out->s[--out->n];
}
static const msub_router_ops outer = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "outer", .layout = nest, .publish = outer_publish };

Test(randomsub, nested) {
  static bool bare[30][MOST + 1];
  const msub_router_ops *const routers[] = { &msub_randomsub, &silent, &outer };
  for (unsigned k = 0; k < 3; k++) {
    number = 0;
    world_init(&w, 250);
    w.opts.sign = MSUB_STRICT_NO_SIGN;
    world_start(&w, routers[k]);
    msub_topic t = world_join(&w, "t", &world_data_ids);
    crowd(1, 15, RANDOM);
    crowd(21, 3, FLOOD);
    for (unsigned i = 0; i < 30; i++) {
      bool got[MOST + 1];
      publish(t);
      uint32_t n = sent(1, 23, got);
      if (k == 0) memcpy(bare[i], got, sizeof got);
      if (k == 1) cr_assert_eq(memcmp(bare[i], got, sizeof got), 0, "the same draws");
      if (k == 2) cr_assert(got[1] && got[21] && got[22] && got[23] && (n == 9 || n == 10), "%u", n);
    }
    world_stop(&w);
  }
}

/* ---- peers are wanted ---- */

static unsigned wants, want_n;
static void want(void *ud, msub_topic t, unsigned n) {
  (void)ud;
  cr_assert(t.v != 0);
  wants++;
  want_n = n;
}
#define SEC UINT64_C(1000000000)
static void meets(uint32_t i, bool on) { cr_assert_eq(world_subscribe(&w, peer[i], "t", on), MSUB_OK); }

/* floodsub below 5, randomsub below its number of recipients: at once, then once a second, and however often peers come and go not more often. */
Test(randomsub, wants_peers_as_floodsub_does) {
  msub_randomsub_opts o;
  msub_randomsub_opts_init(&o);
  o.network = 49;
  static const struct { const msub_router_ops *router; uint32_t enough; } rows[] = { { &msub_floodsub, 5 }, { &msub_randomsub, 7 } };
  for (size_t k = 0; k < 2; k++) {
    uint32_t enough = rows[k].enough;
    world_init(&w, 250);
    w.opts.sign = MSUB_STRICT_NO_SIGN;
    w.router_opts = k ? &o : NULL;
    w.ops.want_peers = want;
    world_start(&w, rows[k].router);
    wants = 0;
    up(100, FLOOD, "elsewhere");
    world_pass(&w, 3 * SEC);
    cr_assert(wants == 0 && msub_next_deadline(w.e) == MSUB_NEVER, "nothing is joined");
    msub_topic t = world_join(&w, "t", &world_data_ids);
    cr_assert(msub_next_deadline(w.e) <= w.now.mono_ns);
    world_pass(&w, 1);
    cr_assert(wants == 1 && want_n == enough);
    world_pass(&w, 10 * SEC);
    cr_assert_eq(wants, 11);
    crowd(1, enough - 1, FLOOD);
    world_pass(&w, SEC);
    cr_assert(wants == 12 && want_n == 1, "%u, %u", wants, want_n);
    up(enough, k ? RANDOM : FLOOD, "t");
    world_pass(&w, 10 * SEC);
    cr_assert(wants == 12 && msub_next_deadline(w.e) == MSUB_NEVER, "it has enough");
    for (unsigned i = 0; i < 50; i++) { /* one comes and goes, fifty times in half a second */
      meets(1, false);
      world_pass(&w, SEC / 200);
      meets(1, true);
      world_pass(&w, SEC / 200);
    }
    cr_assert(wants <= 13, "%u", wants);
    world_pass(&w, 10 * SEC);
    wants = 0;
    msub_session_down(w.e, peer[1], &w.now);
    world_pass(&w, SEC + 1);
    cr_assert(wants >= 1 && wants <= 2 && want_n == 1, "%u, %u", wants, want_n);
    up(101, FLOOD, "t");
    up(102, FLOOD, "t");
    world_pass(&w, 2 * SEC);
    wants = 0;
    meets(101, false);
    world_pass(&w, 10 * SEC);
    cr_assert_eq(wants, 0, "as many are enough");
    meets(102, false);
    world_pass(&w, SEC);
    cr_assert(wants >= 1 && want_n == 1);
    cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
    world_pass(&w, SEC);
    wants = 0;
    world_pass(&w, 10 * SEC);
    cr_assert(wants == 0 && msub_next_deadline(w.e) == MSUB_NEVER);
    world_stop(&w);
  }
}

/* A world that looks for nobody is not waited for. */
Test(randomsub, wants_nothing_of_a_world_without_discovery) {
  static const msub_router_ops *const routers[] = { &msub_floodsub, &msub_randomsub };
  for (size_t k = 0; k < 2; k++) {
    world_init(&w, 250);
    w.opts.sign = MSUB_STRICT_NO_SIGN;
    world_start(&w, routers[k]);
    (void)world_join(&w, "t", &world_data_ids);
    world_pass(&w, 1);
    cr_assert_eq(msub_next_deadline(w.e), MSUB_NEVER);
    world_stop(&w);
  }
}
