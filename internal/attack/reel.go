package attack

import (
	"bytes"
	"image"
	"image/jpeg"
	"sync"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/synthface"
)

// reel is a recording of a living person from which any challenge can be answered:
// standing still, and each movement. A frame is rendered when it is first shown.
type reel struct {
	person *synthface.Person
	scene  synthface.Scene
	clips  map[liveness.Move]*clip // Center: standing still

	mu     sync.Mutex
	camera synthface.Renderer

	cx, cy, apart float64 // the eyes' middle, a little below, and their distance, in pixels
}

// clip is one act of a reel.
type clip struct {
	script *script
	frames [][]byte // JPEG; nil: not shown yet
}

// of is the reel of a person, recorded when it is first asked for.
func (st *Studio) reel(who int64) *reel {
	return st.reels.of(who, func() *reel { return st.record(who) })
}

// person is somebody whose mesh is kept for a while.
func (st *Studio) person(seed int64) *synthface.Person {
	return st.cast.of(seed, func() *synthface.Person { return synthface.NewPerson(seed) })
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
}

const keptMost = 8

// of makes what belongs to a person, once; others who ask meanwhile wait.
func (k *kept[T]) of(who int64, make func() T) T {
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
	o.Do(func() { o.made = make() })
	return o.made
}

// A recording's frames a second, and their size.
const (
	reelRate              = 6
	reelWidth, reelHeight = 960, 720
)

// record sets up a person before a good camera: close, sharp and in good light.
func (st *Studio) record(who int64) *reel {
	a := Attempt{Species: "reel", Victim: who, Seed: uint64(who)}
	d := a.dice("reel")
	scene := newScene(d)
	scene.Width, scene.Height, scene.Noise, scene.Blur, scene.FOV = reelWidth, reelHeight, .8, .05, 46
	r := &reel{person: st.person(who), scene: scene, clips: map[liveness.Move]*clip{}}
	for _, move := range append([]liveness.Move{liveness.Center}, liveness.Moves()...) {
		var challenge []liveness.Move
		if move != liveness.Center {
			challenge = []liveness.Move{move}
		}
		s := newScript(d, challenge, manner{turn: 1, nod: 1})
		s.home.X, s.home.Y, s.home.Distance = 0, -1.5, d.within(50, 56)
		r.clips[move] = &clip{s, make([][]byte, int(s.duration*reelRate))}
	}
	k := r.shot(r.clips[liveness.Center].script, 0).Faces[0]
	right, left, mouth := k[synthface.RightEye], k[synthface.LeftEye], k[synthface.Mouth]
	r.cx, r.cy, r.apart = (right.X+left.X+mouth.X)/3, (right.Y+left.Y+mouth.Y)/3, left.X-right.X
	return r
}

// shot is frame i of an act.
func (r *reel) shot(s *script, i int) synthface.Shot {
	sub := synthface.Subject{Person: r.person}
	sub.Pose, sub.Expression = s.at(float64(i) / reelRate)
	frame := r.scene
	frame.Seed += int64(i)
	return r.camera.Render(frame, sub)
}

// frame is frame i of a clip.
func (r *reel) frame(c *clip, i int) (*image.YCbCr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.frames[i] == nil {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, r.shot(c.script, i).Image, &jpeg.Options{Quality: 93}); err != nil {
			return nil, err
		}
		c.frames[i] = b.Bytes()
	}
	img, err := jpeg.Decode(bytes.NewReader(c.frames[i]))
	if err != nil {
		return nil, err
	}
	return img.(*image.YCbCr), nil
}

// answerAfter is how long after a step is asked for the head begins to move, in
// seconds: the attacker has cut his clips to the movement.
const answerAfter = .2

// at is what the attacker shows at a moment of a script: the answer to the step that
// is asked for, and standing still after it, to and fro.
func (r *reel) at(challenge []liveness.Move, s *script, t float64) (*image.YCbCr, error) {
	move, since := liveness.Center, t
	for i, from := range s.steps {
		if t >= from {
			move, since = challenge[i], t-from
		}
	}
	c := r.clips[move]
	if move != liveness.Center {
		since += c.script.strokes[0].from - answerAfter
	}
	i := int(since * reelRate)
	if i >= len(c.frames) {
		i -= len(c.frames)
		c = r.clips[liveness.Center]
	}
	if n := len(c.frames) - 1; n > 0 {
		if i %= 2 * n; i > n {
			i = 2*n - i
		}
	}
	return r.frame(c, min(i, len(c.frames)-1))
}
