/* pfs._cdc: the native plg1 kernel as a Python module; signatures in _cdc.pyi, algorithm in _cdc_scan.h.
 *
 * No mutable state. The GIL is released for buffers of more than 64 KiB: the caller must not resize them meanwhile
 * (the buffer protocol refuses that), and if it writes to them, the cuts are those of some mix of old and new bytes.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_cdc_variants.h"

#define CDC_GIL_BYTES 65536

static cdc_scan find_scan(const char *name) {
    cdc_variant found[CDC_VARIANTS];
    cdc_find_variants(found);
    for (int v = 0; v < CDC_VARIANTS; v++) {
        if (found[v].scan != NULL && strcmp(found[v].name, name) == 0) return found[v].scan;
    }
    PyErr_Format(PyExc_ValueError, "variant '%s' cannot run here", name);
    return NULL;
}

static int read_plan(const Py_buffer *raw, cdc_plan *plan) {
    if (raw->len != (Py_ssize_t)sizeof *plan) {
        PyErr_Format(PyExc_ValueError, "a plan has %zu bytes, got %zd", sizeof *plan, raw->len);
        return -1;
    }
    memcpy(plan, raw->buf, sizeof *plan);
    if (plan->min <= CDC_LOOKBACK || plan->min >= plan->normal || plan->normal >= plan->max ||
        plan->max > UINT32_MAX) {
        PyErr_Format(PyExc_ValueError, "a plan needs %d < min < normal < max < 2**32", CDC_LOOKBACK);
        return -1;
    }
    return 0;
}

/* Fill `out` with at most `limit` end offsets; return how many. Touches no Python object. */
static size_t cut_all(const cdc_plan *plan, cdc_scan scan, const Py_buffer *data, int final, uint64_t *out,
                      size_t limit) {
    const uint8_t *p = data->buf;
    const size_t n = (size_t)data->len;
    size_t count = 0, start = 0;
    while (start < n && count < limit) {
        const size_t length = cdc_first(plan, scan, p + start, n - start, final);
        if (length == 0) break;
        start += length;
        out[count++] = start;
    }
    return count;
}

static PyObject *to_list(const uint64_t *offsets, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t k = 0; list != NULL && k < count; k++) {
        PyObject *offset = PyLong_FromUnsignedLongLong(offsets[k]);
        if (offset == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)k, offset);
    }
    return list;
}

static PyObject *run_cuts(const cdc_plan *plan, cdc_scan scan, const Py_buffer *data, int final, size_t limit) {
    const size_t most = (size_t)data->len / (size_t)plan->min + 1; /* no chunk but the last is shorter than min */
    uint64_t *out = NULL;
    size_t count;
    PyObject *list;

    if (limit == 0 || limit > most) limit = most;
    out = PyMem_RawMalloc(limit * sizeof *out);
    if (out == NULL) return PyErr_NoMemory();
    if (data->len > CDC_GIL_BYTES) {
        Py_BEGIN_ALLOW_THREADS
        count = cut_all(plan, scan, data, final, out, limit);
        Py_END_ALLOW_THREADS
    } else {
        count = cut_all(plan, scan, data, final, out, limit);
    }
    list = to_list(out, count);
    PyMem_RawFree(out);
    return list;
}

static PyObject *cdc_cuts(PyObject *module, PyObject *args) {
    Py_buffer data, raw;
    cdc_plan plan;
    const char *name;
    Py_ssize_t limit;
    int final;
    PyObject *list = NULL;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*pns:cuts", &data, &raw, &final, &limit, &name)) return NULL;
    if (limit < 0) {
        PyErr_SetString(PyExc_ValueError, "limit must not be negative");
    } else if (read_plan(&raw, &plan) == 0) {
        const cdc_scan scan = find_scan(name);
        if (scan != NULL) list = run_cuts(&plan, scan, &data, final, (size_t)limit);
    }
    PyBuffer_Release(&raw);
    PyBuffer_Release(&data);
    return list;
}

static PyObject *cdc_variants(PyObject *module, PyObject *unused) {
    cdc_variant found[CDC_VARIANTS];
    PyObject *names = PyList_New(0), *result;

    (void)module, (void)unused;
    cdc_find_variants(found);
    for (int v = 0; names != NULL && v < CDC_VARIANTS; v++) {
        if (found[v].scan == NULL) continue;
        PyObject *name = PyUnicode_FromString(found[v].name);
        if (name == NULL || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    if (names == NULL) return NULL;
    result = PyList_AsTuple(names);
    Py_DECREF(names);
    return result;
}

#if defined(CDC_X86)
__attribute__((target("avx512f"))) static uint64_t sum_avx512(const uint8_t *p, size_t n) {
    __m512i s[4];
    memset(s, 0, sizeof s);
    for (; n >= 256; p += 256, n -= 256) {
        for (int k = 0; k < 4; k++) s[k] = _mm512_add_epi64(s[k], _mm512_loadu_si512((const void *)(p + 64 * k)));
    }
    return (uint64_t)_mm512_reduce_add_epi64(
        _mm512_add_epi64(_mm512_add_epi64(s[0], s[1]), _mm512_add_epi64(s[2], s[3])));
}
#endif

static uint64_t sum_plain(const uint8_t *p, size_t n) {
    uint64_t s = 0, word;
    for (n &= ~(size_t)255; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, sizeof word);
        s += word;
    }
    return s;
}

static PyObject *cdc_read_sum(PyObject *module, PyObject *args) {
    Py_buffer data;
    uint64_t sum;
    uint64_t (*add)(const uint8_t *, size_t) = sum_plain;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*:read_sum", &data)) return NULL;
#if defined(CDC_X86)
    if (__builtin_cpu_supports("avx512f")) add = sum_avx512;
#endif
    Py_BEGIN_ALLOW_THREADS
    sum = add(data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLongLong(sum);
}

static PyMethodDef methods[] = {
    {"cuts", cdc_cuts, METH_VARARGS, "cuts(data, plan, final, limit, variant): end offsets of the chunks of data."},
    {"variants", cdc_variants, METH_NOARGS, "variants(): names of the scans that run here, fastest first."},
    {"read_sum", cdc_read_sum, METH_VARARGS, "read_sum(data): sum of its 64-bit words; the speed of reading memory."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#if defined(Py_mod_gil)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_cdc", .m_doc = "The native plg1 kernel.", .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC PyInit__cdc(void) { return PyModuleDef_Init(&definition); }
