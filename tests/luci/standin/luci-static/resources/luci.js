'use strict';

(function() {
	function extend(parent, properties) {
		const Made = function(...given) {
			if (this.__init__)
				this.__init__(...given);
		};

		Made.prototype = Object.assign(Object.create(parent.prototype), properties);
		Made.prototype.constructor = Made;
		Made.extend = (more) => extend(Made, more);
		return Made;
	}

	const baseclass = { extend: (properties) => extend(Object, properties) };

	function append(node, content) {
		if (Array.isArray(content)) {
			for (const item of content)
				if (item != null)
					node.appendChild(item instanceof Node ? item : document.createTextNode(String(item)));
		}
		else if (content instanceof Node) {
			node.appendChild(content);
		}
		else if (content != null) {
			// The trap that views must not step into.
			node.innerHTML = String(content);
		}
	}

	window.E = function(name, attributes, content) {
		if (attributes == null || attributes instanceof Node || Array.isArray(attributes) || typeof(attributes) != 'object')
			content = (attributes == null) ? content : attributes, attributes = {};

		const node = Array.isArray(name) ? document.createDocumentFragment() : document.createElement(name);

		if (Array.isArray(name))
			append(node, name);
		for (const key of Object.keys(attributes)) {
			if (typeof(attributes[key]) == 'function')
				node.addEventListener(key, attributes[key]);
			else if (attributes[key] != null)
				node.setAttribute(key, attributes[key]);
		}
		append(node, content);
		return node;
	};

	const poll = {
		queue: [],
		timer: null,
		tick: 0,
		add(work, interval) {
			this.queue.push({ work, interval, idle: true });
			this.start();
		},
		start() {
			if (this.timer || !this.queue.length)
				return false;
			this.tick = 0;
			this.timer = window.setInterval(() => this.step(), 1000);
			this.step();
			return true;
		},
		stop() {
			window.clearInterval(this.timer);
			this.timer = null;
			return true;
		},
		step() {
			for (const entry of this.queue)
				if (entry.idle && this.tick % entry.interval == 0) {
					entry.idle = false;
					Promise.resolve(entry.work()).finally(() => { entry.idle = true; });
				}
			this.tick++;
		}
	};

	const view = baseclass.extend({
		__init__() {
			const place = document.getElementById('view');

			Promise.resolve(this.load()).then((data) => this.render(data)).then((node) => {
				place.replaceChildren(node);
				this.footer(place);
			}).catch((error) => {
				console.error(error);
				place.replaceChildren(E('pre', {}, [ error.stack || error ]));
			});
		},
		load() {},
		handleSave() {
			return Promise.all([ ...document.querySelectorAll('.cbi-map') ].map((node) => node.map.save()));
		},
		handleSaveApply() {},
		handleReset() {},
		footer(place) {
			const button = (name, style, title) => this[name]
				? E('button', {
					'class': 'cbi-button ' + style, 'disabled': L.hasViewPermission() ? null : '',
					'click': (ev) => {
						ev.target.classList.add('spinning');
						Promise.resolve(this[name]()).finally(() => ev.target.classList.remove('spinning'));
					}
				}, [ title ])
				: null;
			const buttons = [ button('handleSaveApply', 'cbi-button-apply', 'Save & Apply'), button('handleSave', 'cbi-button-save', 'Save'), button('handleReset', 'cbi-button-reset', 'Reset') ];

			if (buttons.some((entry) => entry))
				place.appendChild(E('div', { 'class': 'cbi-page-actions' }, buttons));
		}
	});

	const classes = { baseclass, view, poll };

	window.LuCI = function(env) {
		const loading = {};

		this.env = env;
		this.Poll = poll;
		this.url = (...parts) => [ env.scriptname, ...parts ].join('/').replace(/\/+/g, '/');
		this.resource = (...parts) => [ env.resource, ...parts ].join('/');
		this.isObject = (value) => value != null && typeof(value) == 'object';
		this.toArray = (value) => (value == null) ? [] : Array.isArray(value) ? value : String(value).trim().split(/\s+/);
		this.resolveDefault = (promise, value) => Promise.resolve(promise).catch(() => value);
		this.hasViewPermission = () => env.nodespec.satisfied ? !env.nodespec.readonly : null;

		this.require = (name) => {
			if (classes[name])
				return Promise.resolve(classes[name]);
			loading[name] = loading[name] || this.load(name);
			return loading[name];
		};

		this.load = async (name) => {
			const reply = await fetch('%s/%s.js'.format(env.resource, name.replace(/\./g, '/')));
			const source = await reply.text();
			const needs = [];

			for (const line of source.split('\n')) {
				const found = line.match(/^'require (\S+)(?: as (\w+))?';$/);
				if (found)
					needs.push([ found[1], found[2] || found[1].replace(/\W/g, '_') ]);
				else if (line && line != "'use strict';")
					break;
			}

			const instances = await Promise.all(needs.map(([ need ]) => this.require(need)));
			const made = new Function('L', ...needs.map((need) => need[1]), source)(this, ...instances);

			return new made();
		};

		document.addEventListener('DOMContentLoaded', () => poll.start());
	};
})();
