/* A user of libmeshsub-store: store FOLDER. */
#include <meshsub/store_disk.h>
#include <poll.h>
#include <stdio.h>

static int told = 1;
static void on_durable(void *ud, msub_token token, int result) {
  (void)ud;
  if (token.v == 1) told = result;
}

int main(int argc, char **argv) {
  char why[MSUB_STORE_WHY];
  msub_store_disk *disk;
  msub_store_disk_opts o;
  msub_store_disk_opts_init(&o);
  o.dir = argc > 1 ? argv[1] : "store";
  if (msub_store_disk_open(&o, &disk, why) != MSUB_OK) {
    puts(why);
    return 1;
  }
  msub_store s = msub_store_disk_store(disk);
  msub_store_op op = { true, msub_str("greeting"), msub_str("hello") };
  struct pollfd p = { .fd = msub_store_disk_fd(disk), .events = POLLIN };
  msub_now now = { 1, 0 };
  msub_bytes value;
  s.ops->listen(s.s, on_durable, NULL);
  if (s.ops->submit(s.s, &op, 1, (msub_token){ 1 }) != MSUB_OK) return 1;
  for (; told > 0 && poll(&p, 1, 10000) == 1; now.mono_ns++) s.ops->turn(s.s, &now);
  if (told != MSUB_OK) puts(msub_store_disk_why(disk));
  int err = s.ops->get(s.s, op.key, &value);
  bool right = err == MSUB_OK && msub_bytes_eq(value, op.value);
  err = msub_store_disk_free(disk);
  printf("store: %s\n", msub_err_text(told));
  return told == MSUB_OK && right && err == MSUB_OK ? 0 : 1;
}
