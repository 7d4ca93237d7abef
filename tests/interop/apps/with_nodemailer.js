// As in the manual of nodemailer.
const nodemailer = require('nodemailer');

const env = process.env;
const transporter = nodemailer.createTransport({
  host: env.MAIL_SERVER,
  port: Number(env.MAIL_PORT),
  secure: 'MAIL_SSL' in env,
  ...('MAIL_USERNAME' in env ? { auth: { user: env.MAIL_USERNAME, pass: env.MAIL_PASSWORD } } : {}),
});

(async () => {
  await transporter.sendMail({
    from: '"My app" <app@myapp.example.com>',
    to: env.RECIPIENT,
    subject: env.SUBJECT,
    text: 'Thank you, Jörg!',
    html: '<b>Thank you, Jörg!</b>',
  });
})();
