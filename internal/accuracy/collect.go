package accuracy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// ErrFailure marks an error that is a property of the image, not of the
// machine: no face, an unreadable file. Such an image is a failure to enrol;
// any other error ends the measurement.
var ErrFailure = errors.New("failure to enrol")

// Templates holds a template for each image, nil for a failure to enrol. All
// have one length; [Collect] scales each to unit length.
type Templates map[string][]float32

// Failures counts the images without a template.
func (t Templates) Failures() int {
	n := 0
	for _, v := range t {
		if v == nil {
			n++
		}
	}
	return n
}

// Collect embeds every image with the given number of workers. Embed must be
// safe for concurrent use; progress, when not nil, is called one call at a
// time after each image.
func Collect(ctx context.Context, images []string, workers int,
	embed func(ctx context.Context, image string) ([]float32, error), progress func(done, total int)) (Templates, error) {
	vectors := make([][]float32, len(images))
	var next atomic.Int64
	var mu sync.Mutex // protects done and the calls of progress
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	for range max(1, workers) {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < len(images); i = int(next.Add(1)) - 1 {
				if err := ctx.Err(); err != nil {
					return err
				}
				v, err := embed(ctx, images[i])
				if err != nil && !errors.Is(err, ErrFailure) {
					return fmt.Errorf("embed %s: %w", images[i], err)
				}
				if err == nil {
					vectors[i] = unit(v)
				}
				mu.Lock()
				done++
				if progress != nil {
					progress(done, len(images))
				}
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return gather(images, vectors)
}

// gather names the vectors, which must be of one length.
func gather(images []string, vectors [][]float32) (Templates, error) {
	templates := make(Templates, len(images))
	dim := 0
	for i, name := range images {
		v := vectors[i]
		if dim == 0 {
			dim = len(v)
		}
		if v != nil && len(v) != dim {
			return nil, fmt.Errorf("embed %s: %d numbers after templates of %d", name, len(v), dim)
		}
		templates[name] = v
	}
	return templates, nil
}

// unit scales a copy of v to length one; a vector without a direction gives
// nil, a failure to enrol.
func unit(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return nil
	}
	scale := float32(1 / math.Sqrt(sum))
	u := make([]float32, len(v))
	for i, x := range v {
		u[i] = x * scale
	}
	return u
}
