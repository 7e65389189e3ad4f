package liveness

import (
	"math"
	"slices"
)

// edges is how well straight lines frame the face: at the sides, and above and
// below. 1 is a line on each side, unbroken along the face's height; bezels and the
// margins of paper are such, and so is a door that happens to stand behind.
func (f *Frame) edges() (sides, ends float64) {
	t := f.thumb
	c, half, _, _ := frameOf(f.Face)
	cx, cy, h := c.X/t.scale, c.Y/t.scale, half/t.scale
	at := func(along, across float64, upright bool) (float64, bool) {
		x, y := across, along
		if !upright {
			x, y = along, across
		}
		if x < 2 || y < 2 || x > float64(t.w-2) || y > float64(t.h-2) {
			return 0, false
		}
		if upright {
			return t.at(x+1, y) - t.at(x-1, y), true
		}
		return t.at(x, y+1) - t.at(x, y-1), true
	}
	line := func(from, to, middle, low, high float64, upright bool) float64 {
		best := 0.0
		for pos := from; pos <= to; pos += .7 {
			for lean := -4; lean <= 4; lean++ {
				best = max(best, unbroken(at, pos, float64(lean)*.045, middle, low, high, upright))
			}
		}
		return best
	}
	left := line(cx-3*h, cx-1.15*h, cy, cy-1.6*h, cy+1.6*h, true)
	right := line(cx+1.15*h, cx+3*h, cy, cy-1.6*h, cy+1.6*h, true)
	top := line(cy-3.2*h, cy-1.5*h, cx, cx-1.2*h, cx+1.2*h, false)
	bottom := line(cy+1.5*h, cy+3.2*h, cx, cx-1.2*h, cx+1.2*h, false)
	return math.Sqrt(left * right), max(top, bottom)
}

// unbroken is the share of a line along which the picture steps the same way.
func unbroken(at func(along, across float64, upright bool) (float64, bool), pos, lean, middle, low, high float64, upright bool) float64 {
	const step = 9 // levels over two pixels of the thumb
	up, down, n := 0.0, 0.0, 0.0
	for along := low; along <= high; along += 1.5 {
		g, ok := at(along, pos+lean*(along-middle), upright)
		if !ok {
			continue
		}
		n++
		if g > step {
			up++
		} else if g < -step {
			down++
		}
	}
	if n < (high-low)/1.5*.6 {
		return 0
	}
	return max(up, down) / n
}

// banding is the depth of waves down the picture that come and go between frames,
// in levels of 255: a display's refresh through a rolling shutter. Pairs of frames
// count in which the face stood still; the median over them, 0 for none.
func banding(all []pairing) float64 {
	var out []float64
	for i := range all {
		p := &all[i]
		_, half, _, _ := frameOf(p.f.Face)
		if p.moved() <= .1*half/p.f.thumb.scale && math.Abs(yaw(&p.f.Face)-yaw(&p.g.Face)) < .1 {
			out = append(out, wave(p.rowChange()))
		}
	}
	return median(out)
}

// rowChange is by how much each row of the face and beside it became brighter: the
// mean of the middle half of its places, so that what moves does not count.
func (p *pairing) rowChange() []float64 {
	t := p.f.thumb
	c, half, _, _ := frameOf(p.f.Face)
	x0, x1 := max(0, int((c.X-1.5*half)/t.scale)), min(t.w, int((c.X+1.5*half)/t.scale))
	y0, y1 := max(0, int((c.Y-1.8*half)/t.scale)), min(t.h, int((c.Y+1.8*half)/t.scale))
	dx, dy := p.view.at(float64(x0+x1) / 2)
	out := make([]float64, 0, t.h)
	var row []float64
	for y := y0; y < y1; y++ {
		row = row[:0]
		for x := x0; x < x1; x += 2 {
			a, b := float64(t.pix[y*t.w+x]), p.g.thumb.at(float64(x)+.5+dx, float64(y)+.5+dy)
			row = append(row, (b-a)/max(.2, (a+b)/256))
		}
		if len(row) < 4 {
			return nil
		}
		slices.Sort(row)
		middle := row[len(row)/4 : 3*len(row)/4+1]
		sum := 0.0
		for _, v := range middle {
			sum += v
		}
		out = append(out, sum/float64(len(middle)))
	}
	return out
}

// wave is the amplitude of the wave that fits a profile best, times the share of the
// profile's change that it explains.
func wave(s []float64) float64 {
	n := float64(len(s))
	if n < 16 {
		return 0
	}
	mean, squares := 0.0, 0.0
	for _, v := range s {
		mean += v / n
	}
	for _, v := range s {
		squares += (v - mean) * (v - mean)
	}
	if squares < 1e-9 {
		return 0
	}
	best := 0.0
	for periods := .4; periods <= 4; periods += .2 {
		var cc, ss, cs, cv, sv, c1, s1 float64
		for i, v := range s {
			sin, cos := math.Sincos(2 * math.Pi * periods * float64(i) / n)
			v -= mean
			cc, ss, cs, cv, sv, c1, s1 = cc+cos*cos, ss+sin*sin, cs+cos*sin, cv+cos*v, sv+sin*v, c1+cos, s1+sin
		}
		cc, ss, cs = cc-c1*c1/n, ss-s1*s1/n, cs-c1*s1/n
		det := cc*ss - cs*cs
		if det < 1e-6 {
			continue
		}
		a, b := (cv*ss-sv*cs)/det, (sv*cc-cv*cs)/det
		best = max(best, math.Hypot(a, b)*(a*cv+b*sv)/squares)
	}
	return best
}
