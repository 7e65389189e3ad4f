package camera

import (
	"image"
	"math"
	"slices"
	"time"
)

// Picture is what can be said of a camera's picture whoever is in it.
type Picture string

// The pictures. Covered and frozen are alarms: the camera delivers, and shows
// nothing that is so.
const (
	PictureGood    Picture = "good"
	PictureDark    Picture = "dark"    // night, or the lights are out
	PictureBlurred Picture = "blurred" // much less detail than it used to have: out of focus, or a dirty lens
	PictureCovered Picture = "covered" // nothing to see, although there was, or although there is light
	PictureFrozen  Picture = "frozen"  // the same frame for ten seconds, down to its noise
)

// Alarm reports whether somebody should look at the camera at once.
func (p Picture) Alarm() bool { return p == PictureCovered || p == PictureFrozen }

// Hint says what to do about a picture that is not good.
func (p Picture) Hint() string {
	return map[Picture]string{
		PictureDark:    "too dark to see anybody: light the door, or use a camera with infrared",
		PictureBlurred: "out of focus or dirty: clean the lens, or try focus=auto",
		PictureCovered: "something is before the lens, or all light went out at once: look at the camera",
		PictureFrozen:  "the camera repeats one frame: unplug it and plug it in again, and see that nobody feeds it a picture",
	}[p]
}

// Health is how the picture of a camera is doing.
type Health struct {
	Rate       float64   `json:"rate"`           // frames a second that were handed out, over the last seconds
	Brightness float64   `json:"brightness"`     // mean luma of the frame, 0..1
	Structure  float64   `json:"structure"`      // how much there is to see: differences of neighbouring parts, in levels of 255, without noise
	Sharpness  float64   `json:"sharpness"`      // detail, as a share of what this camera usually has, about 1
	Noise      float64   `json:"noise"`          // standard deviation between frames, in levels of 255
	Night      bool      `json:"night"`          // the picture is too dark to see by; it may still be good for motion
	Picture    Picture   `json:"picture"`        // "" before enough was seen
	Since      time.Time `json:"since,omitzero"` // when Picture last changed
}

// Limits of the pictures. Levels are of 255.
const (
	lookEvery   = 500 * time.Millisecond // between measurements
	darkBelow   = 20.0                   // mean luma
	lightAbove  = 28.0                   // … to count as light again
	nothing     = 0.6                    // structure: less is a lid, a hand, an even wall
	lostShare   = 0.12                   // of the usual structure: less is lost
	something   = 2.0                    // structure of the few parts that have most: a lamp, a display, a window at night
	blurShare   = 0.45                   // of the usual detail
	noisy       = 3.0                    // noise in which detail cannot be measured
	sudden      = 3 * time.Second        // darkness that comes within this was made
	confirm     = 3 * time.Second        // until covered or dark is believed, and that it is over
	confirmLong = 10 * time.Second       // … frozen, blurred
	usualAfter  = 20                     // good measurements until the usual is known
	usualPace   = 1.0 / 60               // of learning the usual: half a minute
)

// The grid that structure is measured on.
const gridW, gridH = 16, 12

// meter measures the health of a picture. It is a pure step function: it is told
// the time of each frame.
type meter struct {
	health Health

	looked  time.Time
	samples []byte // of the last measurement
	spare   []byte // memory of the one before
	blocks  [gridW * gridH]float64
	size    image.Point

	good              int       // measurements of good pictures
	usual, usualSharp float64   // structure and detail of them
	lit               time.Time // when there was last light and something to see
	made              bool      // the darkness came suddenly
	same              time.Time // since when the frame is the same

	next  Picture // what it is about to be
	since time.Time

	frames int // since began
	began  time.Time
}

// see is told of a frame that was handed out. changed says that the picture is
// another one than before.
func (m *meter) see(now time.Time, img *image.YCbCr) (changed bool) {
	m.count(now)
	if now.Sub(m.looked) < lookEvery {
		return false
	}
	m.looked = now
	before := m.blocks
	fresh := m.sample(img)
	shift := m.shift(&before)
	if fresh { // nothing to compare with yet
		m.same = now
		return false
	}
	pixelNoise, same := m.noise(shift)
	if !same {
		m.same = now
	}
	blockNoise := spreadOf(&before, &m.blocks, shift)
	structure, most := structureOf(&m.blocks)
	structure = less(structure, blockNoise)
	// Of noise alone the few parts that have most of it stand out three times.
	most = less(most, 3*blockNoise)
	detail := less(m.detail(), 1.95*pixelNoise)
	h := &m.health
	h.Brightness, h.Structure, h.Noise, h.Sharpness = mean(m.blocks[:])/255, structure, pixelNoise, 1
	if m.good >= usualAfter {
		// Against the structure, because what is washed out has little of either.
		h.Sharpness = detail / max(structure, nothing) / max(m.usualSharp, 0.01)
	}
	h.Night = 255*h.Brightness < darkBelow || h.Night && 255*h.Brightness < lightAbove
	p := m.judge(now, structure, most)
	if p == PictureGood {
		m.learn(structure, detail/max(structure, nothing))
	}
	return m.settle(now, p)
}

// lose forgets what the frames were, not what is usual: the device is gone for a
// while.
func (m *meter) lose() {
	m.health = Health{}
	m.size, m.looked, m.began, m.next = image.Point{}, time.Time{}, time.Time{}, ""
}

// judge says what the picture is at this moment.
func (m *meter) judge(now time.Time, structure, most float64) Picture {
	known := m.good >= usualAfter
	empty := structure < nothing || known && structure < lostShare*m.usual
	if m.health.Night {
		empty = most < something
	}
	m.made = m.made && empty
	switch {
	case !empty && now.Sub(m.same) >= confirmLong:
		return PictureFrozen
	case empty && !m.health.Night:
		return PictureCovered
	case empty && m.dimmed(now):
		return PictureCovered
	case m.health.Night:
		return PictureDark
	case known && m.health.Noise < noisy && m.health.Sharpness < blurShare:
		return PictureBlurred
	}
	m.lit = now
	return PictureGood
}

// dimmed reports whether a darkness in which nothing is to be seen came too fast
// for an evening. Whoever switches off the last light does the same as who tapes
// the lens: that cannot be told apart.
func (m *meter) dimmed(now time.Time) bool {
	if !m.lit.IsZero() && now.Sub(m.lit) <= sudden {
		m.made = true
	}
	return m.made
}

// learn takes what a good picture has for usual, slowly.
func (m *meter) learn(structure, sharp float64) {
	m.good++
	pace := max(usualPace, 1/float64(m.good))
	m.usual += pace * (structure - m.usual)
	if m.health.Noise < noisy {
		m.usualSharp += pace * (sharp - m.usualSharp)
	}
}

// settle believes a picture once it has lasted.
func (m *meter) settle(now time.Time, p Picture) (changed bool) {
	if p != m.next {
		m.next, m.since = p, now
	}
	wait := confirm
	if p == PictureBlurred {
		wait = confirmLong
	}
	if p == m.health.Picture || m.health.Picture != "" && now.Sub(m.since) < wait {
		return false
	}
	if m.health.Picture == "" && p != PictureGood && now.Sub(m.since) < wait {
		return false
	}
	m.health.Picture, m.health.Since = p, now
	return true
}

// count keeps the rate of frames.
func (m *meter) count(now time.Time) {
	if m.began.IsZero() {
		m.began = now
		return
	}
	m.frames++
	if took := now.Sub(m.began); took >= 2*time.Second {
		m.health.Rate = float64(m.frames) / took.Seconds()
		m.began, m.frames = now, 0
	}
}

// sample takes every few pixels of a frame, and the means of the grid's blocks.
// fresh says that there are none of the same size to compare with.
func (m *meter) sample(img *image.YCbCr) (fresh bool) {
	step := max(1, min(img.Rect.Dx()/160, img.Rect.Dy()/120))
	size := img.Rect.Size().Div(step)
	m.samples, m.spare = m.spare[:0], m.samples
	var sum, n [gridW * gridH]float64
	for y := range size.Y {
		row := img.Y[img.YOffset(img.Rect.Min.X, img.Rect.Min.Y+y*step):]
		line := y * gridH / size.Y * gridW
		for x := range size.X {
			v := row[x*step]
			m.samples = append(m.samples, v)
			b := line + x*gridW/size.X
			sum[b] += float64(v)
			n[b]++
		}
	}
	for i := range sum {
		m.blocks[i] = sum[i] / max(n[i], 1)
	}
	fresh = size != m.size
	m.size = size
	return fresh
}

// shift is how much brighter the whole picture became: an automatic exposure
// moves, which is neither noise nor motion.
func (m *meter) shift(before *[gridW * gridH]float64) float64 {
	d := make([]float64, len(m.blocks))
	for i := range d {
		d[i] = m.blocks[i] - before[i]
	}
	slices.Sort(d)
	return d[len(d)/2]
}

// noise is the standard deviation of the pixels from one measurement to the
// next, from the median so that motion does not count. same says that there is
// not the least difference.
func (m *meter) noise(shift float64) (deviation float64, same bool) {
	same = true
	var counts [256]int
	for i, v := range m.samples {
		d := int(v) - int(m.spare[i])
		same = same && d == 0
		counts[min(255, int(math.Abs(float64(d)-shift)+0.5))]++
	}
	// The median with a share of its bin, since small noise is less than a level.
	half, seen := len(m.samples)/2, 0
	for d, n := range counts {
		if seen+n > half {
			within := float64(half-seen) / float64(n)
			return max(0, float64(d)-0.5+within) / 0.954, same // 0.6745 · √2
		}
		seen += n
	}
	return 0, same
}

// detail is the mean curvature of luma between neighbouring samples.
func (m *meter) detail() float64 {
	sum, n := 0, 0
	for y := range m.size.Y {
		row := m.samples[y*m.size.X:][:m.size.X]
		for x := 1; x < len(row)-1; x++ {
			c := 2*int(row[x]) - int(row[x-1]) - int(row[x+1])
			sum += max(c, -c)
			n++
		}
	}
	return float64(sum) / float64(max(n, 1))
}

// structureOf is how much blocks differ from their neighbours: the mean, and that
// of the four which differ most. A smooth gradient, as light through a hand, has
// none.
func structureOf(b *[gridW * gridH]float64) (structure, most float64) {
	var all []float64
	for y := 1; y < gridH-1; y++ {
		for x := 1; x < gridW-1; x++ {
			i := y*gridW + x
			all = append(all, math.Abs(4*b[i]-b[i-1]-b[i+1]-b[i-gridW]-b[i+gridW])/4)
		}
	}
	slices.Sort(all)
	return mean(all), mean(all[len(all)-4:])
}

// spreadOf is the noise of the blocks' means in structureOf's measure: from the
// median of what they changed.
func spreadOf(a, b *[gridW * gridH]float64, shift float64) float64 {
	d := make([]float64, len(a))
	for i := range d {
		d[i] = math.Abs(b[i] - a[i] - shift)
	}
	slices.Sort(d)
	return d[len(d)/2]
}

// less takes the part out of a measure that is noise.
func less(x, noise float64) float64 { return math.Sqrt(max(0, x*x-noise*noise)) }

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(max(len(v), 1))
}
