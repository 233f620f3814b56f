/* pfs._batch: looking at, reading, hashing and writing many small files a call; signatures in _batch.pyi.
 *
 * No mutable state. Whatever is unusual (an error, a link, a large file, no regular file) is only marked: the caller
 * looks at that file again by itself and says what is wrong. The GIL is released for the system calls and hashing.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/vfs.h>
#endif

#include "_batch_hash.h"

#if defined(__APPLE__)
#define MTIME st_mtimespec
#define CTIME st_ctimespec
#else
#define MTIME st_mtim
#define CTIME st_ctim
#endif

/* What must be equal for a file to be the same: size, times in ns, inode. */
typedef struct {
    uint64_t size;
    int64_t mtime, ctime;
    uint64_t inode;
} stamp;

typedef struct {
    uint64_t offset, length;
    stamp seen;
    uint64_t device;
    uint32_t mode;
    uint32_t state;
} read_row;

enum { READ_WHOLE = 0, READ_CHANGED = 1, READ_ODD = 2 };

/* Times beyond the year 2262 wrap. */
static int64_t ns(struct timespec t) {
    return (int64_t)((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

static stamp stamp_of(const struct stat *s) {
    stamp made;
    made.size = (uint64_t)s->st_size, made.mtime = ns(s->MTIME), made.ctime = ns(s->CTIME);
    made.inode = (uint64_t)s->st_ino;
    return made;
}

/* Read one open file to `out`, which has `room` bytes; 0: it does not fit there, but would into an empty buffer. */
static int read_open(int fd, char *out, size_t room, size_t limit, read_row *row) {
    struct stat before, after;
    size_t size, got = 0;
    row->state = READ_ODD;
    if (fstat(fd, &before) != 0 || !S_ISREG(before.st_mode) || before.st_size < 0) return 1;
    size = (size_t)before.st_size;
    if (size > limit) return 1;
    /* One byte more than the file should have tells that it ends there. */
    if (size + 1 > room) return 0;
    while (got <= size) {
        const ssize_t n = read(fd, out + got, size + 1 - got);
        if (n < 0) return 1;
        got += (size_t)n;
        if (n == 0 || got == size) break; /* not one byte more was there: what comes now is told by the status */
    }
    if (got != size || fstat(fd, &after) != 0) return 1;
    row->seen = stamp_of(&before), row->length = got, row->mode = before.st_mode;
    row->device = (uint64_t)before.st_dev;
    const stamp then = stamp_of(&after);
    row->state = memcmp(&then, &row->seen, sizeof then) == 0 ? READ_WHOLE : READ_CHANGED;
    return 1;
}

typedef struct {
    int directory; /* that paths are relative to */
    const char *const *paths;
    size_t count;
    char *out;
    size_t size, limit;
} read_job;

static size_t read_all(const read_job *job, read_row *rows) {
    size_t used = 0, k;
    for (k = 0; k < job->count; k++) {
        read_row *row = &rows[k];
        /* What was a file when it was listed may be a pipe by now, which must not be waited for. */
        const int fd = openat(job->directory, job->paths[k], O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        memset(row, 0, sizeof *row);
        row->offset = used, row->state = READ_ODD;
        if (fd < 0) continue;
        const int fits = read_open(fd, job->out + used, job->size - used, job->limit, row);
        close(fd);
        if (!fits) break;
        used += row->length;
    }
    return k;
}

/* The strings of a list of bytes; they live as long as the list is not changed, so the caller passes its own. */
static const char **strings(PyObject *list, Py_ssize_t count) {
    const char **found = PyMem_Malloc((size_t)(count ? count : 1) * sizeof *found);
    if (found == NULL) return (const char **)PyErr_NoMemory();
    for (Py_ssize_t k = 0; k < count; k++) {
        char *text;
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(list, k), &text, NULL) < 0) {
            PyMem_Free(found);
            return NULL;
        }
        found[k] = text;
    }
    return found;
}

/* Read the files of a job that has paths, and return their rows. */
static PyObject *rows_of(const read_job *job) {
    PyObject *result = NULL;
    size_t done;
    read_row *rows = PyMem_Malloc((job->count ? job->count : 1) * sizeof *rows);
    if (rows == NULL) return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    done = read_all(job, rows);
    Py_END_ALLOW_THREADS
    result = PyBytes_FromStringAndSize((const char *)rows, (Py_ssize_t)(done * sizeof *rows));
    PyMem_Free(rows);
    return result;
}

/* Where to read to; 0: the buffer is too small for the largest file. */
static int take_buffer(read_job *job, const Py_buffer *buffer, Py_ssize_t limit) {
    job->out = buffer->buf, job->size = (size_t)buffer->len, job->limit = (size_t)limit;
    if (limit >= 0 && limit < buffer->len) return 1;
    PyErr_SetString(PyExc_ValueError, "the buffer holds no file of the limit");
    return 0;
}

static PyObject *batch_read(PyObject *module, PyObject *args) {
    PyObject *paths, *result = NULL;
    Py_buffer buffer;
    Py_ssize_t limit;
    read_job job;

    (void)module;
    if (!PyArg_ParseTuple(args, "O!w*n:read", &PyTuple_Type, &paths, &buffer, &limit)) return NULL;
    job.directory = AT_FDCWD, job.count = (size_t)PyTuple_GET_SIZE(paths);
    job.paths = take_buffer(&job, &buffer, limit) ? strings(paths, PyTuple_GET_SIZE(paths)) : NULL;
    if (job.paths != NULL) result = rows_of(&job);
    PyMem_Free((void *)job.paths);
    PyBuffer_Release(&buffer);
    return result;
}

/* Where the names begin, each of which ends in NUL; NULL with an error where the last does not. */
static const char **names_in(const char *names, size_t size, size_t *count) {
    size_t found = 0;
    if (size && names[size - 1] != 0) {
        PyErr_SetString(PyExc_ValueError, "a name has no end");
        return NULL;
    }
    for (size_t at = 0; at < size; at++) found += names[at] == 0;
    const char **starts = PyMem_Malloc((found ? found : 1) * sizeof *starts);
    if (starts == NULL) return (const char **)PyErr_NoMemory();
    for (size_t k = 0; k < found; names += strlen(names) + 1) starts[k++] = names;
    *count = found;
    return starts;
}

static PyObject *batch_read_in(PyObject *module, PyObject *args) {
    const char *directory, *names;
    PyObject *result = NULL;
    Py_buffer buffer;
    Py_ssize_t limit, size;
    read_job job;

    (void)module;
    if (!PyArg_ParseTuple(args, "yy#w*n:read_in", &directory, &names, &size, &buffer, &limit)) return NULL;
    job.paths = take_buffer(&job, &buffer, limit) ? names_in(names, (size_t)size, &job.count) : NULL;
    if (job.paths != NULL) {
        Py_BEGIN_ALLOW_THREADS
        job.directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Py_END_ALLOW_THREADS
        result = rows_of(&job); /* without the directory each file is odd */
        if (job.directory >= 0) close(job.directory);
    }
    PyMem_Free((void *)job.paths);
    PyBuffer_Release(&buffer);
    return result;
}

/* --- writing --- */

typedef struct {
    const char *name, *data;
    size_t size;
    mode_t mode;
} new_file;

/* Write a file beside its place and rename it to there; 0: it cannot be, and nothing is left of it. */
static int create_one(int directory, const new_file *file, const char *pending) {
    const char *at = file->data;
    size_t left = file->size;
    const int fd = openat(directory, pending, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, file->mode);
    if (fd < 0) return 0;
    while (left) {
        const ssize_t n = write(fd, at, left);
        if (n < 0) break;
        at += n, left -= (size_t)n;
    }
    if (close(fd) == 0 && !left && renameat(directory, pending, directory, file->name) == 0) return 1;
    unlinkat(directory, pending, 0);
    return 0;
}

static size_t create_all(const char *path, const new_file *files, size_t count, const char *token) {
    size_t done = 0;
    char pending[32];
    const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return 0;
    for (; done < count; done++) {
        snprintf(pending, sizeof pending, ".pfs-%.8s%08zx", token, done);
        if (!create_one(directory, &files[done], pending)) break;
    }
    close(directory);
    return done;
}

/* Take over one (name, data, executable); the strings live as long as the tuple. */
static int take_file(PyObject *item, new_file *file) {
    char *name, *data;
    Py_ssize_t size;
    int executable;
    PyObject *held_name, *held_data;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "SSp:create", &held_name, &held_data, &executable)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "a file is a tuple");
        return 0;
    }
    if (PyBytes_AsStringAndSize(held_name, &name, NULL) < 0) return 0;
    if (PyBytes_AsStringAndSize(held_data, &data, &size) < 0) return 0;
    file->name = name, file->data = data, file->size = (size_t)size, file->mode = executable ? 0777 : 0666;
    return 1;
}

static PyObject *batch_create(PyObject *module, PyObject *args) {
    const char *path, *token;
    Py_ssize_t token_size;
    PyObject *items, *result = NULL;

    (void)module;
    if (!PyArg_ParseTuple(args, "yO!y#:create", &path, &PyTuple_Type, &items, &token, &token_size)) return NULL;
    if (token_size != 8) {
        PyErr_SetString(PyExc_ValueError, "the token has 8 bytes");
        return NULL;
    }
    const size_t count = (size_t)PyTuple_GET_SIZE(items);
    new_file *files = PyMem_Malloc((count ? count : 1) * sizeof *files);
    if (files == NULL) return PyErr_NoMemory();
    size_t taken = 0, done;
    while (taken < count && take_file(PyTuple_GET_ITEM(items, (Py_ssize_t)taken), &files[taken])) taken++;
    if (taken == count) {
        Py_BEGIN_ALLOW_THREADS
        done = create_all(path, files, count, token);
        Py_END_ALLOW_THREADS
        result = PyLong_FromSize_t(done);
    }
    PyMem_Free(files);
    return result;
}

/* --- directories --- */

typedef struct {
    size_t name; /* where it begins in `names` */
    stamp seen;
    uint32_t mode;
    int last; /* of its run: told by the name alone, so that runs stay where files come and go */
} entry;

/* What is sorted by: eight bytes of a name as a number decide mostly, without a look at the name itself. */
typedef struct {
    uint64_t head;
    const char *name;
    const entry *file;
} place;

#define RUN 512

static int ends_run(const char *name) {
    uint32_t hash = 2166136261u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 16777619u;
    return (hash ^ hash >> 16) % RUN == 0;
}

typedef struct {
    char *at; /* names that end in NUL */
    size_t used, room;
} bytes;

typedef struct {
    entry *files;
    size_t count, room;
    place *sorted;
    bytes names, others;
    int plain;
    uint64_t device;
    int error;
} listing;

static int grow(void **at, size_t *room, size_t wanted, size_t each) {
    size_t more = *room ? *room : 64;
    while (more < wanted) more *= 2;
    if (more == *room) return 1;
    void *moved = realloc(*at, more * each);
    if (moved == NULL) return 0;
    *at = moved, *room = more;
    return 1;
}

static int is_plain(const char *name) {
    for (; *name; name++) {
        if (*name < ' ' || *name > '~') return 0;
    }
    return 1;
}

static int add_name(bytes *names, const char *name, size_t size) {
    if (!grow((void **)&names->at, &names->room, names->used + size, 1)) return 0;
    memcpy(names->at + names->used, name, size);
    names->used += size;
    return 1;
}

static int add_entry(listing *all, int fd, const char *name) {
    struct stat status;
    /* What is no regular file here, on another device, or gone, is looked at by the caller. */
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_dev != all->device) {
        return add_name(&all->others, name, strlen(name) + 1);
    }
    if (!grow((void **)&all->files, &all->room, all->count + 1, sizeof *all->files)) return 0;
    entry *made = &all->files[all->count];
    made->name = all->names.used;
    if (!add_name(&all->names, name, strlen(name) + 1)) return 0;
    made->seen = stamp_of(&status), made->mode = status.st_mode;
    made->last = ends_run(name);
    all->plain = all->plain && is_plain(name);
    all->count++;
    return 1;
}

static int by_name(const void *a, const void *b) {
    const place *one = a, *other = b;
    if (one->head != other->head) return one->head < other->head ? -1 : 1;
    return strcmp(one->name, other->name);
}

static uint64_t head_of(const char *name) {
    uint64_t head = 0;
    int shift = 56;
    for (; *name && shift >= 0; name++, shift -= 8) head |= (uint64_t)(uint8_t)*name << shift;
    return head;
}

static int sort(listing *all) {
    all->sorted = malloc((all->count + 1) * sizeof *all->sorted);
    if (all->sorted == NULL) return 0;
    for (size_t k = 0; k < all->count; k++) {
        const char *name = all->names.at + all->files[k].name;
        all->sorted[k] = (place){head_of(name), name, &all->files[k]};
    }
    qsort(all->sorted, all->count, sizeof *all->sorted, by_name);
    return 1;
}

static void list(const char *path, listing *all) {
    struct stat top;
    DIR *dir = opendir(path);
    const struct dirent *one;
    if (dir == NULL || fstat(dirfd(dir), &top) != 0) {
        all->error = errno;
        if (dir != NULL) closedir(dir);
        return;
    }
    all->device = (uint64_t)top.st_dev;
    for (errno = 0; (one = readdir(dir)) != NULL; errno = 0) {
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0) continue;
        if (!add_entry(all, dirfd(dir), one->d_name)) {
            errno = ENOMEM;
            break;
        }
    }
    all->error = errno;
    closedir(dir);
    if (all->error == 0 && !sort(all)) all->error = ENOMEM;
}

static void drop(listing *all) {
    free(all->files);
    free(all->sorted);
    free(all->names.at);
    free(all->others.at);
}

static size_t runs_of(const listing *all) {
    size_t count = all->count > 0 && !all->sorted[all->count - 1].file->last;
    for (size_t k = 0; k < all->count; k++) count += (size_t)all->files[k].last;
    return count;
}

static PyObject *listed(const listing *all) {
    PyObject *names = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)all->names.used);
    PyObject *stamps = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(all->count * sizeof(stamp)));
    PyObject *modes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(all->count * sizeof(uint32_t)));
    PyObject *runs = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(runs_of(all) * 2 * sizeof(uint64_t)));
    if (names == NULL || stamps == NULL || modes == NULL || runs == NULL) {
        Py_XDECREF(names), Py_XDECREF(stamps), Py_XDECREF(modes), Py_XDECREF(runs);
        return NULL;
    }
    char *run = PyBytes_AS_STRING(runs);
    char *name = PyBytes_AS_STRING(names), *seen = PyBytes_AS_STRING(stamps), *mode = PyBytes_AS_STRING(modes);
    for (size_t k = 0; k < all->count; k++) {
        const entry *file = all->sorted[k].file;
        name = stpcpy(name, all->sorted[k].name) + 1;
        memcpy(seen + k * sizeof(stamp), &file->seen, sizeof(stamp));
        memcpy(mode + k * sizeof(uint32_t), &file->mode, sizeof(uint32_t));
        if (file->last || k + 1 == all->count) {
            const uint64_t ends[2] = {k + 1, (uint64_t)(name - PyBytes_AS_STRING(names))};
            memcpy(run, ends, sizeof ends), run += sizeof ends;
        }
    }
    return Py_BuildValue("(NNNNy#OK)", names, stamps, modes, runs, all->others.at ? all->others.at : "",
                         (Py_ssize_t)all->others.used, all->plain ? Py_True : Py_False,
                         (unsigned long long)all->device);
}

static PyObject *batch_scan(PyObject *module, PyObject *args) {
    const char *path;
    PyObject *result = NULL;
    listing all;

    (void)module;
    if (!PyArg_ParseTuple(args, "y:scan", &path)) return NULL;
    memset(&all, 0, sizeof all);
    all.plain = 1;
    Py_BEGIN_ALLOW_THREADS
    list(path, &all);
    Py_END_ALLOW_THREADS
    if (all.error != 0) {
        errno = all.error;
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        result = listed(&all);
    }
    drop(&all);
    return result;
}

/* --- spans of a buffer --- */

/* The data and a copy of the spans in it, each of which lies within. */
typedef struct {
    Py_buffer data, given;
    hash_span *spans;
    size_t count;
} span_job;

static void end_spans(span_job *job) {
    PyMem_Free(job->spans);
    PyBuffer_Release(&job->given);
    PyBuffer_Release(&job->data);
}

/* Take the spans over from `given`; 0 with an error: they are none, and all is released. */
static int take_spans(span_job *job) {
    const uint64_t size = (uint64_t)job->data.len;
    job->count = (size_t)job->given.len / sizeof(hash_span);
    job->spans = PyMem_Malloc((job->count ? job->count : 1) * sizeof *job->spans);
    int good = job->spans != NULL && (size_t)job->given.len == job->count * sizeof *job->spans;
    if (good) memcpy(job->spans, job->given.buf, job->count * sizeof *job->spans);
    for (size_t k = 0; good && k < job->count; k++) {
        good = job->spans[k].offset <= size && job->spans[k].length <= size - job->spans[k].offset;
    }
    if (good) return 1;
    if (job->spans == NULL) {
        PyErr_NoMemory();
    } else {
        PyErr_SetString(PyExc_ValueError, "a span lies outside of the data");
    }
    end_spans(job);
    return 0;
}

static PyObject *batch_hash(PyObject *module, PyObject *args) {
    span_job job;
    const char *context = "";
    Py_ssize_t length = 0;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*|s#:hash", &job.data, &job.given, &context, &length)) return NULL;
    if (!take_spans(&job)) return NULL;
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(job.count * 32));
    if (result != NULL) {
        int failed;
        uint8_t *out = (uint8_t *)PyBytes_AS_STRING(result);
        Py_BEGIN_ALLOW_THREADS
        failed = hash_spans_in((const uint8_t *)context, (size_t)length, job.data.buf, job.spans, job.count, out);
        Py_END_ALLOW_THREADS
        if (failed) {
            Py_CLEAR(result);
            PyErr_NoMemory();
        }
    }
    end_spans(&job);
    return result;
}

/* Words are looked at 64 bytes at a time, as a vector. */
static int is_ascii(const uint8_t *at, size_t size) {
    uint64_t found = 0;
    for (; size >= 64; at += 64, size -= 64) {
        uint64_t words[8];
        memcpy(words, at, sizeof words);
        for (int k = 0; k < 8; k++) found |= words[k];
        if (found & 0x8080808080808080u) return 0;
    }
    for (; size; at++, size--) found |= *at;
    return (found & 0x8080808080808080u) == 0;
}

static PyObject *batch_are_ascii(PyObject *module, PyObject *args) {
    span_job job;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*:are_ascii", &job.data, &job.given)) return NULL;
    if (!take_spans(&job)) return NULL;
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)job.count);
    if (result != NULL) {
        char *out = PyBytes_AS_STRING(result);
        const uint8_t *data = job.data.buf;
        Py_BEGIN_ALLOW_THREADS
        for (size_t k = 0; k < job.count; k++) {
            out[k] = (char)is_ascii(data + job.spans[k].offset, (size_t)job.spans[k].length);
        }
        Py_END_ALLOW_THREADS
    }
    end_spans(&job);
    return result;
}

static PyObject *batch_join(PyObject *module, PyObject *args) {
    span_job job;
    size_t size = 0;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*:join", &job.data, &job.given)) return NULL;
    if (!take_spans(&job)) return NULL;
    for (size_t k = 0; k < job.count; k++) size += (size_t)job.spans[k].length;
    PyObject *result = size > PY_SSIZE_T_MAX ? PyErr_NoMemory() : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (result != NULL) {
        char *out = PyBytes_AS_STRING(result);
        const char *data = job.data.buf;
        Py_BEGIN_ALLOW_THREADS
        for (size_t k = 0; k < job.count; k++) {
            memcpy(out, data + job.spans[k].offset, (size_t)job.spans[k].length);
            out += job.spans[k].length;
        }
        Py_END_ALLOW_THREADS
    }
    end_spans(&job);
    return result;
}

/* --- listings --- */

/* Of each file of a listing the first bytes of BLAKE3 of its name, NUL and stamp. */
#define DIGEST 8

typedef struct {
    const char *names;
    size_t names_size;
    const uint8_t *stamps;
    size_t count;
} digest_job;

/* 0: done, 1: the names are not as many, 2: no memory. */
static int digest_all(const digest_job *job, uint8_t *out) {
    const size_t size = job->names_size + job->count * sizeof(stamp);
    uint8_t *data = malloc(size + 1), *full = malloc(job->count * 32 + 1);
    hash_span *spans = malloc((job->count + 1) * sizeof *spans);
    int failed = data == NULL || full == NULL || spans == NULL ? 2 : 0;
    size_t at = 0, name = 0;
    for (size_t k = 0; !failed && k < job->count; k++) {
        const char *end = memchr(job->names + name, 0, job->names_size - name);
        if (end == NULL) {
            failed = 1;
            break;
        }
        const size_t length = (size_t)(end - job->names) + 1 - name;
        memcpy(data + at, job->names + name, length);
        memcpy(data + at + length, job->stamps + k * sizeof(stamp), sizeof(stamp));
        spans[k].offset = at, spans[k].length = length + sizeof(stamp);
        at += length + sizeof(stamp), name += length;
    }
    if (!failed && name != job->names_size) failed = 1;
    if (!failed && hash_spans(data, spans, job->count, full)) failed = 2;
    for (size_t k = 0; !failed && k < job->count; k++) memcpy(out + k * DIGEST, full + k * 32, DIGEST);
    free(spans), free(full), free(data);
    return failed;
}

static PyObject *batch_digest(PyObject *module, PyObject *args) {
    Py_buffer names, stamps;
    int failed = 0;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*:digest", &names, &stamps)) return NULL;
    const digest_job job = {names.buf, (size_t)names.len, stamps.buf, (size_t)stamps.len / sizeof(stamp)};
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(job.count * DIGEST));
    if (result != NULL) {
        uint8_t *out = (uint8_t *)PyBytes_AS_STRING(result);
        Py_BEGIN_ALLOW_THREADS
        failed = digest_all(&job, out);
        Py_END_ALLOW_THREADS
    }
    if (failed == 1) PyErr_SetString(PyExc_ValueError, "there is not one name for each stamp");
    if (failed == 2) PyErr_NoMemory();
    if (failed) Py_CLEAR(result);
    PyBuffer_Release(&stamps);
    PyBuffer_Release(&names);
    return result;
}

/* Blocks for a file that is about to be written, found at once where that is known to pay: on ext4. What is not used in
 * the end must not be what others lack meanwhile, so nothing is done when less than LEFT bytes would be free. */
#define EXT4 0xEF53
#define LEFT (1LL << 30)

#if defined(__linux__)
static int reserve_blocks(int fd, long long size) {
    struct statfs found;
    if (size <= 0 || fstatfs(fd, &found) != 0 || found.f_type != EXT4) return 0;
    if ((long long)found.f_bavail < (size + LEFT) / (long long)found.f_bsize) return 0;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, size) == 0) return 1;
    struct stat seen; /* what a quota or another writer let it have of them goes back */
    if (fstat(fd, &seen) != 0 || ftruncate(fd, seen.st_size) != 0) return 0;
    return 0;
}
#endif

static PyObject *batch_reserve(PyObject *module, PyObject *args) {
    int fd, reserved = 0;
    long long size;

    (void)module;
    if (!PyArg_ParseTuple(args, "iL:reserve", &fd, &size)) return NULL;
#if defined(__linux__)
    Py_BEGIN_ALLOW_THREADS
    reserved = reserve_blocks(fd, size);
    Py_END_ALLOW_THREADS
#endif
    return PyBool_FromLong(reserved);
}

static PyMethodDef methods[] = {
    {"read", batch_read, METH_VARARGS, "read(paths, buffer, limit): rows of the files that were read to the buffer."},
    {"read_in", batch_read_in, METH_VARARGS, "read_in(directory, names, buffer, limit): the same of files in it."},
    {"create", batch_create, METH_VARARGS, "create(directory, files, token): how many files were written."},
    {"scan", batch_scan, METH_VARARGS, "scan(path): names, stamps and modes of the regular files in a directory."},
    {"are_ascii", batch_are_ascii, METH_VARARGS, "are_ascii(data, spans): of each span a byte, 1 or 0."},
    {"join", batch_join, METH_VARARGS, "join(data, spans): the bytes of the spans, one after the other."},
    {"digest", batch_digest, METH_VARARGS, "digest(names, stamps): 8 bytes for each file of a listing."},
    {"reserve", batch_reserve, METH_VARARGS, "reserve(fd, size): whether the disk has blocks for the file now."},
    {"hash", batch_hash, METH_VARARGS, "hash(data, spans): BLAKE3 of each span of the data."},
    {"hash_in", batch_hash, METH_VARARGS, "hash_in(data, spans, context): the same in derive-key mode."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#if defined(Py_mod_gil)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_batch", .m_doc = "Many small files a call.", .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__batch(void) { return PyModuleDef_Init(&definition); }
