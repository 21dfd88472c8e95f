/* Q-learning and Sarsa in scalar C: the yardstick of `python -m benchmarks td`.

   Alias tables as `suasion.td` lays them out, xoroshiro128++, float64, epsilon-greedy with equal best choices alike.
   The order of draws and of operations is that of the package's kernel, so that both end with the same bits.
   Compiled once for each number of choices: cc -O3 -march=native -ffp-contract=off -DCHOICES=4 -shared -fPIC. */

#include <stdint.h>

#ifndef CHOICES
#define CHOICES 4
#endif

typedef struct {
    double reward;
    uint32_t low, count;
} outcome_t;

typedef struct {
    int64_t stride;           /* cells of each choice, or 0 if they differ */
    const int64_t *start;     /* of each choice's cells, and of the first states' */
    const double *threshold;  /* of each cell */
    const outcome_t *outcome; /* two of each cell */
    int64_t first_low, first_high;
} model_t;

typedef struct {
    double step_size, discount, epsilon;
    int64_t limit, sarsa;
} question_t;

typedef struct {
    uint64_t s0, s1;
} stream_t;

static inline uint64_t rotated(uint64_t word, int by) { return (word << by) | (word >> (64 - by)); }

static inline double uniform(stream_t *stream) {
    uint64_t s0 = stream->s0, s1 = stream->s1, word = rotated(s0 + s1, 17) + s0;
    s1 ^= s0;
    stream->s0 = rotated(s0, 49) ^ s1 ^ (s1 << 21);
    stream->s1 = rotated(s1, 28);
    return (double)(int64_t)(word >> 11) * (1.0 / 9007199254740992.0);
}

static inline const outcome_t *drawn(const model_t *model, int64_t low, int64_t cells, stream_t *stream) {
    double scaled = uniform(stream) * (double)cells;
    int64_t place = (int64_t)scaled, cell = low + place;
    return &model->outcome[2 * cell + (scaled - (double)place >= model->threshold[cell])];
}

static inline int64_t chosen(const double *q, int64_t low, double epsilon, stream_t *stream) {
    double best = q[low];
    for (int a = 1; a < CHOICES; a++) best = q[low + a] > best ? q[low + a] : best;
    int first = 0, ties = 0;
    for (int a = CHOICES - 1; a >= 0; a--)
        if (q[low + a] == best) {
            first = a;
            ties++;
        }
    double number = uniform(stream);
    if (number < epsilon) {
        int64_t any = (int64_t)(number / epsilon * CHOICES);
        return low + (any < CHOICES - 1 ? any : CHOICES - 1);
    }
    if (ties == 1) return low + first;
    int64_t left = (int64_t)((number - epsilon) / (1.0 - epsilon) * ties);
    if (left > ties - 1) left = ties - 1;
    for (int a = 0; a < CHOICES; a++)
        if (q[low + a] == best && left-- == 0) return low + a;
    return low + first;
}

/* One run of so many steps; returns how many episodes ended. */
int64_t play(const model_t *model, const question_t *asked, double *q, uint64_t *rng, int64_t steps) {
    stream_t stream = {rng[0], rng[1]};
    const double alpha = asked->step_size, discount = asked->discount, epsilon = asked->epsilon;
    const int64_t limit = asked->limit, sarsa = asked->sarsa;
    int64_t choice = -1, clock = 0, episodes = 0;
    for (int64_t t = 0; t < steps; t++) {
        if (choice < 0) {
            const outcome_t *first = drawn(model, model->first_low, model->first_high - model->first_low, &stream);
            choice = chosen(q, first->low, epsilon, &stream);
        }
        const outcome_t *came;
        if (model->stride == 1)
            came = &model->outcome[2 * choice];
        else if (model->stride)
            came = drawn(model, choice * model->stride, model->stride, &stream);
        else
            came = drawn(model, model->start[choice], model->start[choice + 1] - model->start[choice], &stream);
        const int64_t low = came->low, ended = came->count == 0, over = ended || ++clock >= limit;
        int64_t after = -1;
        double value = 0.0;
        if (!ended) {
            if (sarsa) {
                after = chosen(q, low, epsilon, &stream);
                value = q[after];
            } else {
                value = q[low];
                for (int a = 1; a < CHOICES; a++) value = q[low + a] > value ? q[low + a] : value;
            }
        }
        q[choice] += alpha * (came->reward + discount * value - q[choice]);
        if (!sarsa && !over) after = chosen(q, low, epsilon, &stream);
        choice = after;
        if (over) {
            episodes++;
            clock = 0;
            choice = -1;
        }
    }
    rng[0] = stream.s0;
    rng[1] = stream.s1;
    return episodes;
}
