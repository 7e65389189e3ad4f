package synthface

import "image"

// visit is what each visitor does; the first entry of a demo leaves out the
// walk, so that somebody is in view at once.
var visit = []Act{Enter, Look, Turn, Look, Leave}

// playback chooses what the demo camera shows next. It never waits: what is
// not in the cache yet is replaced by what is, the empty hallway or the
// visitor looking on.
type playback struct {
	demo  *Demo
	empty clip
	look  clip // of the visitor, while they stand there

	clip    clip
	at      int   // next frame of clip
	visitor int   // index in the cast
	rest    []Act // what the visitor has still to do
	home    bool  // the visitor stands before the camera
}

// begin puts the first visitor in view where their clips are ready.
func (p *playback) begin() {
	p.visitor = len(p.demo.set.cast) - 1
	if !p.invite() {
		return
	}
	p.rest, p.home = visit[1:], true
	p.next()
}

// frame is the picture to show now.
func (p *playback) frame() (*image.YCbCr, error) {
	img, err := p.clip.frame(p.at)
	p.step()
	return img, err
}

// step goes on by one frame.
func (p *playback) step() {
	if p.at++; p.at >= len(p.clip) {
		p.next()
	}
}

// next chooses the clip that follows.
func (p *playback) next() {
	if p.home && p.perform(p.demo.pending()) {
		return
	}
	if len(p.rest) == 0 {
		p.home, p.look = false, nil
		wasEmpty := &p.clip[0] == &p.empty[0]
		if !wasEmpty || !p.invite() {
			p.clip, p.at = p.empty, 0
			return
		}
	}
	act := p.rest[0]
	if got, err := p.load(act); err == nil {
		p.rest = p.rest[1:]
		p.clip, p.at = got, 0
		p.home = act != Leave
		if act == Look {
			p.look = got
		}
		return
	}
	p.linger()
}

// linger fills the time until a clip is there.
func (p *playback) linger() {
	p.clip, p.at = p.empty, 0
	switch {
	case p.home && p.look != nil:
		p.clip = p.look
	case !p.home:
		p.rest = nil // they will come when the clip is there
	}
}

// perform plays what was asked for, if anything was and it is ready.
func (p *playback) perform(a Act) bool {
	if a == Empty {
		return false
	}
	got, err := p.load(a)
	if err != nil {
		p.linger()
		return p.look != nil
	}
	p.clip, p.at = got, 0
	p.demo.answered(a)
	return true
}

// invite sends in the next visitor whose clips are all there.
func (p *playback) invite() bool {
	d := p.demo
	for i := range d.set.cast {
		v := (p.visitor + 1 + i) % len(d.set.cast)
		if d.all(v) {
			p.visitor, p.rest = v, visit
			return true
		}
	}
	return false
}

// all says whether a visitor's clips are in the cache.
func (d *Demo) all(visitor int) bool {
	for _, a := range d.set.acts() {
		if !d.cache.cached(d.set.key(d.set.cast[visitor], a)) {
			return false
		}
	}
	return true
}

// load fetches a clip of the visitor. One that is missing or damaged is
// rendered again in the background.
func (p *playback) load(a Act) (clip, error) {
	k := p.demo.set.key(p.demo.set.cast[p.visitor], a)
	got, err := p.demo.cache.load(k)
	if err != nil {
		p.demo.miss(k)
	}
	return got, err
}
