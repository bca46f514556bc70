/* tests/fuzz/fuzz_lww_register.c: the input as a register on a topic of its author, as a value of a set's store, and as two registers that are compared. What is
 * read points into the input and is the whole of it; no input of a fuzzer carries a signature, so nothing is taken but what the corpus signed. */
#include <string.h>
#include "meshsub/lww.h"
#include "tests/fuzz/fuzz.h"

static void inside(msub_bytes in, msub_bytes part) { FUZZ_CHECK(part.n == 0 || (part.p >= in.p && part.p + part.n <= in.p + in.n)); }

static bool value_of_a_store(void *ud, msub_bytes topic, const msub_lww_view *v) {
  (void)ud;
  FUZZ_CHECK(topic.n > 0 && v->durable);
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  msub_bytes in = { data, size };
  msub_lww_register r;
  const msub_lww_ops *ops = &msub_lww_register_ops;
  if (msub_lww_register_read(in, &r) == MSUB_OK) {
    inside(in, r.key);
    inside(in, r.value);
    inside(in, r.signature);
    inside(in, r.signed_part);
    FUZZ_CHECK(r.signed_part.n + r.signature.n == size && 1 + 8 + 2 + r.key.n + 4 + r.value.n == r.signed_part.n);
    char topic[8 + MSUB_PEER_ID_TEXT] = "corpus/";
    msub_peer_id_text(msub_peer_id_bytes(&r.author), topic + 7);
    msub_verdict v = ops->validate(NULL, msub_str(topic), in), other = ops->validate(NULL, msub_str("corpus/"), in);
    FUZZ_CHECK(v <= MSUB_THROTTLED && other == MSUB_REJECT);
    FUZZ_CHECK(ops->compare(NULL, msub_str(topic), in, in) == 0 && !ops->contradicts(NULL, msub_str(topic), in, in));
    FUZZ_CHECK(ops->sequence(NULL, msub_str(topic), in) == r.counter);
  }
  if (size > 1) { /* two of them */
    size_t n = 1 + data[0] % (size - 1);
    msub_bytes a = { data + 1, n - 1 }, b = { data + n, size - n };
    msub_lww_register x, y;
    if (msub_lww_register_read(a, &x) == MSUB_OK && msub_lww_register_read(b, &y) == MSUB_OK) {
      int ab = ops->compare(NULL, a, a, b), ba = ops->compare(NULL, a, b, a);
      FUZZ_CHECK((ab > 0) == (ba < 0) && (ab == 0) == msub_bytes_eq(a, b));
    }
  }
  /* Whatever stands in a store: read, or passed over. */
  msub_store_memory_opts so;
  msub_store_memory *m;
  msub_now now = { 1, 1 };
  msub_store_memory_opts_init(&so);
  FUZZ_CHECK(msub_store_memory_new(&so, &now, &m) == MSUB_OK);
  msub_lww_opts o;
  msub_lww_opts_init(&o);
  o.ops = ops;
  o.store = msub_store_memory_store(m);
  msub_store_op op = { true, msub_str("lww/corpus/topic"), in };
  FUZZ_CHECK(o.store.ops->submit(o.store.s, &op, 1, (msub_token){ 0 }) == MSUB_OK);
  msub_lww *l;
  FUZZ_CHECK(msub_lww_new(&o, &l) == MSUB_OK);
  const msub_lww_counts *c = msub_lww_count(l);
  FUZZ_CHECK(c->topics + c->damaged == 1);
  msub_lww_view v;
  FUZZ_CHECK((msub_lww_get(l, msub_str("corpus/topic"), &v) == MSUB_OK) == (c->topics == 1));
  FUZZ_CHECK(msub_lww_iterate(l, value_of_a_store, NULL) == MSUB_OK);
  msub_lww_free(l);
  msub_store_memory_free(m);
  return 0;
}
