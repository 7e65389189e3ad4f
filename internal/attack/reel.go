package attack

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"sync"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/synthface"
)

// reel is a recording of a living person from which any challenge can be answered:
// standing still, and each movement.
type reel struct {
	still         [][]byte
	moves         map[liveness.Move][][]byte
	cx, cy, apart float64 // the eyes' middle, a little below, and their distance, in pixels
}

// of is the reel of a person, recorded when it is first asked for.
func (st *Studio) reel(ctx context.Context, who int64) (*reel, error) {
	return st.reels.of(who, func() (*reel, error) { return st.record(ctx, who) })
}

// person is somebody whose mesh is kept for a while.
func (st *Studio) person(seed int64) *synthface.Person {
	p, _ := st.cast.of(seed, func() (*synthface.Person, error) { return synthface.NewPerson(seed), nil })
	return p
}

// kept holds what belongs to a person and is dear to make. Few are kept: attempts
// come person by person.
type kept[T any] struct {
	mu  sync.Mutex
	by  map[int64]*once[T]
	old []int64
}

type once[T any] struct {
	sync.Once
	made T
	err  error
}

const keptMost = 24

// of makes what belongs to a person, once; others who ask meanwhile wait.
func (k *kept[T]) of(who int64, make func() (T, error)) (T, error) {
	k.mu.Lock()
	if k.by == nil {
		k.by = map[int64]*once[T]{}
	}
	o := k.by[who]
	if o == nil {
		o = new(once[T])
		k.by[who] = o
		k.old = append(k.old, who)
		if len(k.old) > keptMost {
			delete(k.by, k.old[0])
			k.old = k.old[1:]
		}
	}
	k.mu.Unlock()
	o.Do(func() { o.made, o.err = make() })
	return o.made, o.err
}

// A recording's frames a second, and their size.
const (
	reelRate              = 6
	reelWidth, reelHeight = 960, 720
)

// record films a person with a good camera: close, sharp and in good light.
func (st *Studio) record(ctx context.Context, who int64) (*reel, error) {
	a := Attempt{Species: "reel", Victim: who, Seed: uint64(who)}
	d := a.dice("reel")
	scene := newScene(d)
	scene.Width, scene.Height, scene.Noise, scene.Blur, scene.FOV = reelWidth, reelHeight, .8, .05, 46
	person := st.person(who)
	var camera synthface.Renderer
	r := &reel{moves: map[liveness.Move][][]byte{}}
	for _, move := range append([]liveness.Move{liveness.Center}, liveness.Moves()...) {
		var challenge []liveness.Move
		if move != liveness.Center {
			challenge = []liveness.Move{move}
		}
		s := newScript(d, challenge, manner{turn: 1, nod: 1})
		s.home.X, s.home.Y, s.home.Distance = 0, -1.5, d.within(50, 56)
		for i := range int(s.duration * reelRate) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			sub := synthface.Subject{Person: person}
			sub.Pose, sub.Expression = s.at(float64(i) / reelRate)
			frame := scene
			frame.Seed += int64(i)
			shot := camera.Render(frame, sub)
			var b bytes.Buffer
			if err := jpeg.Encode(&b, shot.Image, &jpeg.Options{Quality: 93}); err != nil {
				return nil, err
			}
			if move == liveness.Center {
				r.still = append(r.still, b.Bytes())
			} else {
				r.moves[move] = append(r.moves[move], b.Bytes())
			}
			if r.apart == 0 {
				k := shot.Faces[0]
				right, left, mouth := k[synthface.RightEye], k[synthface.LeftEye], k[synthface.Mouth]
				r.cx, r.cy, r.apart = (right.X+left.X+mouth.X)/3, (right.Y+left.Y+mouth.Y)/3, left.X-right.X
			}
		}
	}
	return r, nil
}

// at is what the attacker shows at a moment of a script: the answer to the step
// that is asked for.
func (r *reel) at(challenge []liveness.Move, s *script, t float64) (*image.YCbCr, error) {
	clip, since := r.still, t
	for i, from := range s.steps {
		if t >= from {
			since = t - from
			clip = r.still
			if challenge[i] != liveness.Center {
				clip = r.moves[challenge[i]]
			}
		}
	}
	i := int(since * reelRate)
	if i >= len(clip) { // to and fro
		clip, i = r.still, i-len(clip)
	}
	if n := len(clip) - 1; n > 0 {
		if i %= 2 * n; i > n {
			i = 2*n - i
		}
	}
	img, err := jpeg.Decode(bytes.NewReader(clip[min(i, len(clip)-1)]))
	if err != nil {
		return nil, err
	}
	return img.(*image.YCbCr), nil
}
