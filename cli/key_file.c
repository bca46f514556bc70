#include "cli/key_file.h"
#include "cli/files.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const type_names[] = { "rsa", "ed25519", "secp256k1", "ecdsa" };
#define TYPES (sizeof type_names / sizeof *type_names)

const char *key_type_name(msub_key_type type) { return (size_t)type < TYPES ? type_names[type] : "unknown"; }

bool key_type_named(const char *name, msub_key_type *out) {
  for (size_t i = 0; i < TYPES; i++) {
    *out = (msub_key_type)i;
    if (strcmp(name, type_names[i]) == 0) return true;
  }
  return false;
}

static const char *type_at(const void *ud, size_t i) {
  (void)ud;
  return i < TYPES ? type_names[i] : NULL;
}

int key_type_option(const command *c, const char *name, msub_key_type *out) {
  *out = MSUB_KEY_ED25519;
  if (!name || key_type_named(name, out)) return -1;
  const char *meant = nearest(name, type_at, NULL);
  return usage_error(c, "--type %s: there are ed25519, secp256k1, ecdsa and rsa%s%s%s", quoted(name), meant ? "; did you mean " : "",
                     meant ? meant : "", meant ? "?" : "");
}

int key_make(const char *program, msub_key_type type, unsigned bits, msub_key **out) {
  int err = msub_key_generate_type(type, bits, out);
  if (err == MSUB_OK) return -1;
  say_error(program, "no key can be made: %s", msub_err_text(err));
  return EXIT_FAILED;
}

bool key_write_fd(int fd, const uint8_t *p, size_t n) {
  while (n) {
    ssize_t written = write(fd, p, n);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    p += written;
    n -= (size_t)written;
  }
  return true;
}

int key_write(const command *c, const char *file, const uint8_t *bytes, size_t n) {
  int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) {
    say_error(c->program, "%s: exists, and a key is never overwritten; choose another name", quoted(file));
    return EXIT_FAILED;
  }
  if (fd < 0) {
    say_error(c->program, "%s: cannot be made: %s", quoted(file), strerror(errno));
    return EXIT_FAILED;
  }
  bool good = fchmod(fd, 0600) == 0 && key_write_fd(fd, bytes, n) && fsync(fd) == 0;
  int error = errno;
  if (close(fd) != 0 && good) {
    good = false;
    error = errno;
  }
  if (good) return EXIT_OK;
  unlink(file);
  say_error(c->program, "%s: cannot be written: %s", quoted(file), strerror(error));
  return EXIT_FAILED;
}

int key_passphrase(const command *c, const char *file, uint8_t *out, size_t cap, size_t *n) {
  *n = 0;
  if (!file) return -1;
  int code = read_file(c, "--passphrase ", file, out, cap, n);
  for (size_t i = 0; code < 0 && i < *n; i++) {
    if (out[i] == '\n') *n = i;
  }
  if (code < 0 && *n == 0) {
    say_error(c->program, "--passphrase %s: its first line is empty; the passphrase stands there", quoted(file));
    code = EXIT_FAILED;
  }
  return code;
}

int key_of_pem(const command *c, const char *what, msub_bytes pem, msub_bytes passphrase, msub_key **out) {
  int err = msub_key_from_pem(pem, passphrase, out);
  const char *why = err == MSUB_ERR_NOTFOUND      ? "is encrypted; name the file of its passphrase with --passphrase FILE"
                    : err == MSUB_ERR_CRYPTO      ? "does not open with this passphrase"
                    : err == MSUB_ERR_UNSUPPORTED ? "is a key of another kind than ed25519, secp256k1, ecdsa (P-256, P-384, P-521) and rsa (2048 to 8192 bits)"
                                                  : "is no private key in PEM; \"meshsub key show FILE\" shows those that are no PEM";
  if (err == MSUB_OK) return -1;
  say_error(c->program, "%s: %s", quoted(what), why);
  return EXIT_FAILED;
}
