/* Stands between a program and its disk (LD_PRELOAD), and records in their order what is written to
 * files below a folder and what is synced, and the answers that leave through sockets.
 *
 *   RECORD_DIR  the folder
 *   RECORD_TO   where the record goes
 *
 * A record is a header, the file's name, and the bytes. A sync is recorded after it has returned, an
 * answer before it leaves: what stands before an answer was on the disk when it could be read.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct __attribute__((packed)) header {
    char operation; /* W write, T truncate, S sync, U unlink, A answer */
    uint8_t name_len;
    uint32_t len;
    uint64_t offset;
};

static int record = -1;
static char dir[PATH_MAX];
static size_t dir_len;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static ssize_t raw_write(int fd, const void *data, size_t len) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = next("write");
    return real(fd, data, len);
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("RECORD_DIR"), *to = getenv("RECORD_TO");
    if (!folder || !to || !realpath(folder, dir)) return;
    dir_len = strlen(dir);
    int (*real)(const char *, int, ...) = next("open");
    record = real(to, O_CREAT | O_WRONLY | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
}

static void note(char operation, const char *name, uint64_t offset, const struct iovec *parts, int n_parts) {
    size_t len = 0;
    for (int i = 0; i < n_parts; i++) len += parts[i].iov_len;
    struct header header = {operation, (uint8_t)strlen(name), (uint32_t)len, offset};
    pthread_mutex_lock(&turn);
    raw_write(record, &header, sizeof header);
    raw_write(record, name, header.name_len);
    for (int i = 0; i < n_parts; i++) raw_write(record, parts[i].iov_base, parts[i].iov_len);
    pthread_mutex_unlock(&turn);
}

/* The name below the folder that a path leads to; NULL elsewhere, and for the index of SQLite's log,
 * which is created again after a power cut. */
static const char *below(const char *path) {
    if (record < 0 || strncmp(path, dir, dir_len) != 0 || path[dir_len] != '/') return NULL;
    const char *name = path + dir_len + 1;
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, "-shm") == 0 ? NULL : name;
}

static const char *name_of(int fd, char *path) {
    if (record < 0 || fd == record) return NULL;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    if (len < 0) return NULL;
    path[len] = 0;
    return below(path);
}

static void note_write(int fd, const void *data, ssize_t written, uint64_t offset) {
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (!name || written <= 0) return;
    struct iovec part = {(void *)data, (size_t)written};
    note('W', name, offset, &part, 1);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) {
    ssize_t (*real)(int, const void *, size_t, off_t) = next("pwrite");
    ssize_t written = real(fd, data, len, offset);
    note_write(fd, data, written, (uint64_t)offset);
    return written;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = next("pwrite64");
    ssize_t written = real(fd, data, len, offset);
    note_write(fd, data, written, (uint64_t)offset);
    return written;
}

ssize_t write(int fd, const void *data, size_t len) {
    char path[PATH_MAX];
    if (!name_of(fd, path)) return raw_write(fd, data, len);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t written = raw_write(fd, data, len);
    note_write(fd, data, written, (uint64_t)offset);
    return written;
}

static int is_answer(const struct iovec *part) {
    static const char good[] = "HTTP/1.1 200";
    return part->iov_len >= sizeof good - 1 && memcmp(part->iov_base, good, sizeof good - 1) == 0;
}

ssize_t writev(int fd, const struct iovec *parts, int n_parts) {
    ssize_t (*real)(int, const struct iovec *, int) = next("writev");
    if (record >= 0 && n_parts > 0 && is_answer(&parts[0])) note('A', "", 0, parts, n_parts);
    return real(fd, parts, n_parts);
}

ssize_t send(int fd, const void *data, size_t len, int flags) {
    ssize_t (*real)(int, const void *, size_t, int) = next("send");
    struct iovec part = {(void *)data, len};
    if (record >= 0 && is_answer(&part)) note('A', "", 0, &part, 1);
    return real(fd, data, len, flags);
}

static int truncated(const char *symbol, int fd, off64_t len) {
    int (*real)(int, off64_t) = next(symbol);
    int done = real(fd, len);
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (name && done == 0) note('T', name, (uint64_t)len, NULL, 0);
    return done;
}

int ftruncate(int fd, off_t len) { return truncated("ftruncate", fd, len); }
int ftruncate64(int fd, off64_t len) { return truncated("ftruncate64", fd, len); }

static int synced(const char *symbol, int fd) {
    int (*real)(int) = next(symbol);
    int done = real(fd);
    char path[PATH_MAX];
    const char *name = name_of(fd, path);
    if (name && done == 0) note('S', name, 0, NULL, 0);
    return done;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

int unlink(const char *path) {
    int (*real)(const char *) = next("unlink");
    char whole[PATH_MAX];
    const char *name = realpath(path, whole) ? below(whole) : NULL;
    int done = real(path);
    if (name && done == 0) note('U', name, 0, NULL, 0);
    return done;
}
