package attack

import (
	"context"
	"image"
	"math"

	"github.com/cypherface/edge/internal/synthface"
)

// display is a telephone or a tablet that plays a live session. Lengths are in cm.
type display struct {
	w, h, bezel float64
	content     func(u, v float64) (x, y float64) // panel → pixels of what is shown
	perCm       float64                           // pixels of the display
	grid        float64                           // contrast that the camera still sees of them
	gain        float64                           // brightness of white
	tint        [3]float64
	reflect     float64 // share of the room's light
	glare       [3]float64
	glareAt     [2]float64
	band        float64 // depth of the refresh, seen through a rolling shutter
	bands       float64 // periods down the frame
}

// newDisplay draws the device of a species and how large it shows a face whose eyes
// are apart pixels around the middle (cx, cy).
func newDisplay(s Species, d dice, apart, cx, cy float64) *display {
	p := &display{w: 6.8, h: 14.6, bezel: d.within(.25, .8), perCm: d.within(120, 180), grid: d.within(.008, .06)}
	eyes := d.within(2.5, 3.1) // between them, on the panel
	switch s {
	case Tablet:
		p.w, p.h, p.bezel, p.perCm, p.grid = d.within(14.5, 16.5), d.within(19.5, 22), d.within(.7, 2), d.within(90, 130), d.within(.006, .045)
		eyes = d.within(5.4, 6.6)
	case CloseUp: // all that was recorded, larger than the camera sees
		p.w, p.h, p.bezel, p.perCm, p.grid = 34, 25.5, 1, d.within(38, 90), d.within(.015, .09)
		eyes, cx, cy = apart*p.w/reelWidth, reelWidth/2, reelHeight/2
	}
	k := apart / eyes
	p.content = func(u, v float64) (x, y float64) { return cx + u*k, cy - v*k }
	p.gain, p.reflect = d.within(.75, 1.25), d.within(.01, .05)
	p.tint = [3]float64{d.within(.9, 1), 1, d.within(1, 1.15)}
	p.band, p.bands = d.within(.003, .045), d.within(.6, 5)
	if d.chance(.35) {
		p.band = d.within(0, .003) // a display without visible refresh
	}
	if d.chance(.6) {
		g := d.within(.1, .8)
		p.glare = [3]float64{g, g * d.within(.8, 1), g * d.within(.6, 1)}
		p.glareAt = [2]float64{d.within(-.5, .5) * p.w, d.within(-.2, .5) * p.h}
	}
	return p
}

// hold is where the device is held so that the face is of usual size.
func hold(s Species, d dice) synthface.Pose {
	p := synthface.Pose{Yaw: d.within(-9, 9), Pitch: d.within(-8, 8), Roll: d.within(-5, 5), X: d.within(-1, 1), Y: d.within(-1, 1)}
	switch s {
	case Phone:
		p.Distance = d.within(20, 28)
	case Tablet:
		p.Distance = d.within(42, 62)
	default:
		p = synthface.Pose{Yaw: d.within(-4, 4), Pitch: d.within(-4, 4), Roll: d.within(-2, 2), Distance: d.within(25, 27.5)}
	}
	return p
}

// display films a device that plays the victim's reel.
func (s *Studio) display(ctx context.Context, a Attempt) ([]Frame, error) {
	d := a.dice("display")
	r := s.reel(a.Victim)
	plan, scene := newScript(d, a.Challenge, manner{shake: d.within(.2, 1)}), a.scene(d)
	plan.home = hold(a.Species, d)
	if a.Species == CloseUp { // a lens that does not see its edges
		scene.FOV = min(scene.FOV, 47)
	}
	panel := newDisplay(a.Species, d, r.apart, r.cx, r.cy)
	quiet := scene
	quiet.Noise = -1
	room := synthface.Render(quiet).Image
	start := d.within(0, 1)
	var frames []Frame
	for i, at := range plan.times(d) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		shown, err := r.at(a.Challenge, plan, start+at.Seconds())
		if err != nil {
			return nil, err
		}
		pose, _ := plan.steady(at.Seconds())
		take := take{display: panel, shown: shown, pose: pose, scene: scene, flicker: d.within(0, 2*math.Pi), noise: d.Uint64() + uint64(i)}
		frames = append(frames, Frame{take.film(room), at})
	}
	return frames, nil
}

// steady is the motion of what only shakes: the strokes are on the display.
func (s *script) steady(t float64) (synthface.Pose, synthface.Expression) {
	still := *s
	still.strokes, still.blinks = nil, nil
	for i := range still.sways {
		still.sways[i].grin = 0
	}
	return still.at(t)
}

// take is one frame of a display.
type take struct {
	*display
	shown   *image.YCbCr
	pose    synthface.Pose
	scene   synthface.Scene
	flicker float64
	noise   uint64
}

// Tone curves: of the display, and of the camera.
var (
	light = func() (t [256]float64) {
		for i := range t {
			t[i] = math.Pow(float64(i)/255, 2.2)
		}
		return t
	}()
	tone = func() (t [4096]float64) {
		for i := range t {
			x := (float64(i) + .5) / float64(len(t)) * 2
			t[i] = 255 * math.Pow(min(1, x/(1+.18*x)*1.1), 1/2.2)
		}
		return t
	}()
)

func developed(x float64) float64 { return tone[min(max(int(x*float64(len(tone))/2), 0), len(tone)-1)] }

// film warps the display over the room and develops the picture.
func (t *take) film(room *image.YCbCr) *image.YCbCr {
	out := image.NewYCbCr(room.Rect, image.YCbCrSubsampleRatio420)
	copy(out.Cb, room.Cb)
	copy(out.Cr, room.Cr)
	w, h := room.Rect.Dx(), room.Rect.Dy()
	plane := t.plane(w, h)
	grain := newGrain(t.noise, t.scene.Noise)
	for y := range h {
		for x := range w {
			luma := float64(room.Y[y*room.YStride+x])
			if u, v, px := plane.at(float64(x)+.5, float64(y)+.5); px > 0 {
				if cover := t.cover(u, v, px); cover > 0 {
					c := t.colour(plane, x, y, u, v, h)
					l := .299*c[0] + .587*c[1] + .114*c[2]
					luma += cover * (l - luma)
					if x%2 == 0 && y%2 == 0 && cover > .5 {
						i := y/2*out.CStride + x/2
						out.Cb[i] = level(128 + .564*(c[2]-l) + .4*grain.next())
						out.Cr[i] = level(128 + .713*(c[0]-l) + .4*grain.next())
					}
				}
			}
			out.Y[y*out.YStride+x] = level(luma + grain.next())
		}
	}
	return out
}

func level(x float64) uint8 { return uint8(min(max(math.Floor(x+.5), 0), 255)) }

// cover is how much of a pixel the device takes, whose size on it is px.
func (t *take) cover(u, v, px float64) float64 {
	edge := min(t.w/2+t.bezel-math.Abs(u), t.h/2+t.bezel-math.Abs(v))
	return min(max(edge/px+.5, 0), 1)
}

// colour is the picture of a pixel on the device, in levels of the camera.
func (t *take) colour(p plane, x, y int, u, v float64, h int) [3]float64 {
	if math.Abs(u) > t.w/2 || math.Abs(v) > t.h/2 { // the bezel
		return [3]float64{18, 18, 19}
	}
	var sum [3]float64
	for k := range 4 { // the content is finer than the camera
		su, sv, _ := p.at(float64(x)+.25+.5*float64(k%2), float64(y)+.25+.5*float64(k/2))
		cx, cy := t.content(su, sv)
		c := sampled(t.shown, cx, cy)
		for i := range sum {
			sum[i] += c[i] / 4
		}
	}
	band := 1 + t.band*math.Sin(2*math.Pi*t.bands*float64(y)/float64(h)+t.flicker)
	gu := 0.
	if t.glare[0] > 0 {
		gu = math.Exp(-(math.Pow((u-t.glareAt[0])/(.12*t.w), 2) + math.Pow((v-t.glareAt[1])/(.1*t.h), 2)))
	}
	rows := 1 + .7*t.grid*math.Cos(2*math.Pi*v*t.perCm)
	for i := range sum {
		stripe := 1 + t.grid*math.Cos(2*math.Pi*(u*t.perCm+float64(i)/3))
		sum[i] = developed(sum[i]*t.gain*t.tint[i]*band*stripe*rows + t.reflect + t.glare[i]*gu)
	}
	return sum
}

// sampled is the light of a picture between its pixels; black outside.
func sampled(m *image.YCbCr, x, y float64) (c [3]float64) {
	x, y = x-.5, y-.5
	x0, y0 := int(math.Floor(x)), int(math.Floor(y))
	if x0 < 0 || y0 < 0 || x0+1 >= m.Rect.Dx() || y0+1 >= m.Rect.Dy() {
		return c
	}
	fx, fy := x-float64(x0), y-float64(y0)
	i := y0*m.YStride + x0
	top := float64(m.Y[i]) + fx*(float64(m.Y[i+1])-float64(m.Y[i]))
	low := float64(m.Y[i+m.YStride]) + fx*(float64(m.Y[i+m.YStride+1])-float64(m.Y[i+m.YStride]))
	l := top + fy*(low-top)
	k := y0/2*m.CStride + x0/2
	cb, cr := float64(m.Cb[k])-128, float64(m.Cr[k])-128
	for j, v := range [3]float64{l + 1.402*cr, l - .344*cb - .714*cr, l + 1.772*cb} {
		c[j] = light[level(v)]
	}
	return c
}

// plane finds places on a posed panel.
type plane struct {
	focal, cx, cy float64
	c, u, v, n    [3]float64
}

// plane is that of the device before a camera of w×h pixels.
func (t *take) plane(w, h int) plane {
	p := plane{focal: float64(h) / 2 / math.Tan(t.scene.FOV*math.Pi/360), cx: float64(w) / 2, cy: float64(h) / 2}
	sy, cy := math.Sincos(t.pose.Yaw * math.Pi / 180)
	sp, cp := math.Sincos(t.pose.Pitch * math.Pi / 180)
	sr, cr := math.Sincos(t.pose.Roll * math.Pi / 180)
	turn := func(a [3]float64) [3]float64 {
		a = [3]float64{cr*a[0] - sr*a[1], sr*a[0] + cr*a[1], a[2]}
		a = [3]float64{a[0], cp*a[1] + sp*a[2], -sp*a[1] + cp*a[2]}
		return [3]float64{cy*a[0] + sy*a[2], a[1], -sy*a[0] + cy*a[2]}
	}
	p.u, p.v, p.n = turn([3]float64{1, 0, 0}), turn([3]float64{0, 1, 0}), turn([3]float64{0, 0, 1})
	p.c = [3]float64{t.pose.X, t.pose.Y, -t.pose.Distance}
	return p
}

func dot(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

// at is where a pixel is on the panel in cm, and how large it is there; px is 0
// where the ray misses the plane.
func (p plane) at(x, y float64) (u, v, px float64) {
	ray := [3]float64{(x - p.cx) / p.focal, (p.cy - y) / p.focal, -1}
	d := dot(p.n, ray)
	if d > -1e-6 {
		return 0, 0, 0
	}
	t := dot(p.n, p.c) / d
	at := [3]float64{ray[0]*t - p.c[0], ray[1]*t - p.c[1], -t - p.c[2]}
	return dot(at, p.u), dot(at, p.v), t / p.focal
}

// grain is sensor noise: nearly normal deviates, quickly.
type grain struct {
	state uint64
	sigma float64
}

func newGrain(seed uint64, sigma float64) *grain { return &grain{seed | 1, sigma} }

func (g *grain) next() float64 {
	g.state = g.state*6364136223846793005 + 1442695040888963407
	h := g.state ^ g.state>>29
	sum := h&0xffff + h>>16&0xffff + h>>32&0xffff + h>>48
	return g.sigma * (float64(sum) - 2*65535) / 37837
}
