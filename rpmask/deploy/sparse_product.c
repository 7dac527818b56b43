/* y = x * transpose(w) + bias, where w is CSR with 16-bit column indices.
 *
 * Up to 32 rows of x are laid out column by column, so that each kept weight multiplies contiguous numbers and
 * the sums of an output stay in registers. A single row is gathered instead. Arrays are row by row:
 * x (rows, inputs), y (rows, outputs), w with `outputs` rows. `columns_of_x` is scratch for 32 * inputs numbers.
 */

#include <stddef.h>
#include <stdint.h>

#define LANES 8   /* numbers in a vector */
#define BLOCK 16  /* inputs or outputs that are transposed together, which a cache holds */
#define WIDEST 32 /* rows that are multiplied together */

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4)));

struct matrix {
    const int32_t *starts; /* (outputs + 1,) */
    const uint16_t *columns;
    const float *values;
    const float *bias; /* (outputs,), or NULL */
    int inputs, outputs;
};

static inline int smaller(int a, int b) { return a < b ? a : b; }

/* `count` rows of x become (inputs, width); the columns beyond them are zero. */
static inline void transpose(const float *x, float *columns_of_x, int count, int inputs, int width)
{
#pragma omp for schedule(static)
    for (int first = 0; first < inputs; first += BLOCK) {
        int end = smaller(first + BLOCK, inputs);
        for (int row = 0; row < width; row++)
            for (int i = first; i < end; i++)
                columns_of_x[(size_t)i * width + row] = row < count ? x[(size_t)row * inputs + i] : 0.0f;
    }
}

/* Inlined with a constant number of vectors, so that the loops over them unroll. */
static inline __attribute__((always_inline)) void
several_rows(const struct matrix *w, const float *columns_of_x, float *y, int count, const int vectors)
{
    const int width = LANES * vectors;
#pragma omp for schedule(static)
    for (int first = 0; first < w->outputs; first += BLOCK) {
        float sums[BLOCK * WIDEST];
        int end = smaller(first + BLOCK, w->outputs);
        for (int output = first; output < end; output++) {
            vector even[WIDEST / LANES], odd[WIDEST / LANES];
            int k = w->starts[output], last = w->starts[output + 1];
            float bias = w->bias ? w->bias[output] : 0.0f;
            for (int v = 0; v < vectors; v++)
                even[v] = odd[v] = (vector){0};
            for (; k + 2 <= last; k += 2) {
                const float *a = columns_of_x + (size_t)w->columns[k] * width;
                const float *b = columns_of_x + (size_t)w->columns[k + 1] * width;
                for (int v = 0; v < vectors; v++) {
                    even[v] += w->values[k] * *(const vector *)(a + LANES * v);
                    odd[v] += w->values[k + 1] * *(const vector *)(b + LANES * v);
                }
            }
            if (k < last) {
                const float *a = columns_of_x + (size_t)w->columns[k] * width;
                for (int v = 0; v < vectors; v++)
                    even[v] += w->values[k] * *(const vector *)(a + LANES * v);
            }
            for (int v = 0; v < vectors; v++)
                *(vector *)(sums + (output - first) * width + LANES * v) = even[v] + odd[v] + bias;
        }
        for (int row = 0; row < count; row++)
            for (int output = first; output < end; output++)
                y[(size_t)row * w->outputs + output] = sums[(output - first) * width + row];
    }
}

static inline void one_row(const struct matrix *w, const float *x, float *y)
{
#pragma omp for schedule(static)
    for (int output = 0; output < w->outputs; output++) {
        float sums[4] = {0};
        int k = w->starts[output], last = w->starts[output + 1];
        for (; k + 4 <= last; k += 4)
            for (int j = 0; j < 4; j++)
                sums[j] += w->values[k + j] * x[w->columns[k + j]];
        for (; k < last; k++)
            sums[0] += w->values[k] * x[w->columns[k]];
        y[output] = sums[0] + sums[1] + sums[2] + sums[3] + (w->bias ? w->bias[output] : 0.0f);
    }
}

void rpmask_sparse_product(const int32_t *starts, const uint16_t *columns, const float *values,
                           const float *bias, const float *x, float *y, float *columns_of_x, int rows,
                           int inputs, int outputs, int threads)
{
    const struct matrix w = {starts, columns, values, bias, inputs, outputs};
    (void)threads; /* without OpenMP there is one */
#pragma omp parallel num_threads(threads) if (threads > 1)
    for (int row = 0; row < rows;) {
        const float *from = x + (size_t)row * inputs;
        float *to = y + (size_t)row * outputs;
        int left = rows - row;
        if (left == 1) {
            one_row(&w, from, to);
            row += 1;
            continue;
        }
        int width = left <= 8 ? 8 : left <= 16 ? 16 : 32, count = smaller(left, width);
        transpose(from, columns_of_x, count, inputs, width);
        if (width == 8)
            several_rows(&w, columns_of_x, to, count, 1);
        else if (width == 16)
            several_rows(&w, columns_of_x, to, count, 2);
        else
            several_rows(&w, columns_of_x, to, count, 4);
        row += count;
    }
}
