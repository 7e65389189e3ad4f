package liveness

import (
	"math"
	"slices"
)

// sides is how well straight lines frame the face left and right: 1 is a line on each
// side, unbroken along the face's height; bezels and the margins of paper are such, and
// so is a door that happens to stand behind.
func (f *Frame) sides() float64 {
	t := f.thumb
	c, half, _, _ := frameOf(f.Face)
	x, y, h := c.X/t.scale, c.Y/t.scale, half/t.scale
	line := func(from, to float64) float64 {
		best := 0.0
		for at := from; at <= to; at += .7 {
			for lean := -4; lean <= 4; lean++ {
				best = max(best, t.unbroken(at, float64(lean)*.045, y, 1.6*h))
			}
		}
		return best
	}
	return math.Sqrt(line(x-3*h, x-1.15*h) * line(x+1.15*h, x+3*h))
}

// unbroken is the share of an upright line, so far up and down from the middle, along
// which the picture steps the same way.
func (t *thumb) unbroken(at, lean, middle, reach float64) float64 {
	const step = 9 // levels over two pixels of the thumb
	up, down, n := 0.0, 0.0, 0.0
	for y := middle - reach; y <= middle+reach; y += 1.5 {
		x := at + lean*(y-middle)
		if x < 2 || y < 2 || x > float64(t.w-2) || y > float64(t.h-2) {
			continue
		}
		n++
		switch g := t.at(x+1, y) - t.at(x-1, y); {
		case g > step:
			up++
		case g < -step:
			down++
		}
	}
	if n < 2*reach/1.5*.6 {
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
