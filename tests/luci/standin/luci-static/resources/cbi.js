'use strict';
/* A stand-in for LuCI's runtime, as far as the views use it, for machines without LuCI. What it does alike: names, arguments, and that a
   bare string as content is HTML. */

window._ = (text) => text;
window.N_ = (count, one, many) => (count == 1) ? one : many;

/* %s, %d, %h (text for HTML), %.Nf, %%. */
Object.defineProperty(String.prototype, 'format', {
	value(...values) {
		const escape = (text) => String(text).replace(/[&<>"']/g, (letter) => '&#%d;'.format(letter.charCodeAt(0)));

		return this.replace(/%(?:\.(\d+))?([sdhf%])/g, (all, digits, kind) => {
			if (kind == '%')
				return '%';
			const value = values.shift();
			return { s: () => String(value), d: () => String(Math.trunc(Number(value))), h: () => escape(value), f: () => Number(value).toFixed(digits) }[kind]();
		});
	}
});
